"""The ensembles of a sweep: averaged probabilities of its finished runs, scored like a run."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvseg.errors import UserError, one_line
from tvseg.evaluation.scoring.members import ensemble_name, members
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.evaluation.scoring.runs import Subject, evaluate_run, open_runs
from tvseg.files import read_json, write_json
from tvseg.runs.folder import RunFolder
from tvseg.sweep.cells import SweepFolder, is_trained
from tvseg.sweep.plan import SweepCell, SweepPlan

_MEMBERS = "members.json"
"""Beside the scores of an ensemble: its cells' names and fingerprints, and the scores' digest."""

_SUMMARY = "summary.json"


@dataclass(frozen=True)
class SweepEnsemble:
    """Runs of a sweep that are scored together.

    Attributes:
        label: What the table calls it.
        holdout: Centre that its runs have not seen.
        cells: Of its runs.
        folder: Where its scores are kept, beside its runs.
    """

    label: str
    holdout: str
    cells: tuple[SweepCell, ...]
    folder: RunFolder


def ensembles_of(plan: SweepPlan, folder: SweepFolder) -> list[SweepEnsemble]:
    """Return the ensembles that a sweep file asks for, in its order."""
    cells = [c for c in plan.cells if not c.sources and c.holdout not in (None, "none")]
    return [
        SweepEnsemble(
            f"{'+'.join(dict.fromkeys(cell.variant for cell in ones))} ensemble",
            str(ones[0].holdout),
            tuple(ones),
            RunFolder(folder.runs / ensemble_name((c.variant for c in ones), str(ones[0].holdout))),
        )
        for ones in members(cells, plan.file.ensembles, lambda c: (c.variant, str(c.holdout)))
    ]


def score_ensembles(plan: SweepPlan, folder: SweepFolder) -> Iterator[tuple[str, str]]:
    """Score the ensembles whose runs are all finished, unless their scores are current.

    Yields:
        The name of each ensemble that is scored, and why it could not be, empty where it could.
    """
    known: set[str] = set()
    for one in ensembles_of(plan, folder):
        if not all(is_trained(plan, cell, folder) for cell in one.cells):
            continue
        scorings = [
            Scoring(PROTOCOLS[protocol], checkpoint=plan.file.checkpoint)
            for protocol in plan.file.protocols
        ]
        stale = [scoring for scoring in scorings if not is_current(plan, folder, one, scoring)]
        reason = ""
        try:
            for scoring in stale:
                evaluate_run(_subject(plan, folder, one, scoring, known))
                scored = scoring.folder(one.folder)
                write_json(scored / _MEMBERS, _mark(one, scored))
        except (UserError, OSError, RuntimeError, MemoryError) as error:
            reason = one_line(error) or type(error).__name__
        if stale:
            yield one.folder.path.name, reason


def is_current(plan: SweepPlan, folder: SweepFolder, one: SweepEnsemble, scoring: Scoring) -> bool:
    """Return whether an ensemble's scores are of the runs that the sweep file asks for now.

    Args:
        plan: The sweep.
        folder: Of it.
        one: The ensemble.
        scoring: How it is scored.
    """
    if not all(is_trained(plan, cell, folder) for cell in one.cells):
        return False
    scored = scoring.folder(one.folder)
    try:
        written = (scored / _SUMMARY).stat().st_mtime
        same = read_json(scored / _MEMBERS) == _mark(one, scored)
        runs = [RunFolder(folder.runs / cell.name) for cell in one.cells]
        trained = max(run.best.stat().st_mtime for run in runs)
    except (OSError, UserError):  # not scored, or damaged
        return False
    return same and written >= trained


def _mark(one: SweepEnsemble, scored: Path) -> dict[str, Any]:
    """Return what scores are of; ``tvseg eval`` may have written others into the same folder."""
    summary = hashlib.sha256((scored / _SUMMARY).read_bytes()).hexdigest()
    return {"cells": {cell.name: cell.fingerprint for cell in one.cells}, _SUMMARY: summary}


def _subject(
    plan: SweepPlan, folder: SweepFolder, one: SweepEnsemble, scoring: Scoring, known: set[str]
) -> Subject:
    runs = [RunFolder(folder.runs / cell.name) for cell in one.cells]
    return open_runs(runs, scoring, root=plan.data, known=known)
