"""The ensembles of a sweep: averaged probabilities of its finished runs, scored like a run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tvseg.errors import UserError
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.evaluation.scoring.runs import Subject, evaluate_run, open_runs
from tvseg.runs.folder import RunFolder
from tvseg.sweep.cells import SweepFolder
from tvseg.sweep.plan import SweepCell, SweepPlan


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
    """Return the ensembles that a sweep file asks for, those of seeds first."""
    found: dict[tuple[str, str], list[SweepCell]] = {}
    cells = [c for c in plan.cells if not c.sources and c.holdout not in (None, "none")]
    variants = "+".join(dict.fromkeys(cell.variant for cell in cells))
    for kind in plan.file.ensembles:
        for cell in cells:
            name = cell.variant if kind == "seeds" else variants
            found.setdefault((name, str(cell.holdout)), []).append(cell)
    return [
        SweepEnsemble(
            f"{name} ensemble",
            holdout,
            tuple(members),
            RunFolder(folder.runs / f"{name}-holdout-{holdout}-ensemble"),
        )
        for (name, holdout), members in found.items()
        if len(members) > 1
    ]


def score_ensembles(plan: SweepPlan, folder: SweepFolder) -> Iterator[tuple[str, str]]:
    """Score the ensembles whose runs are all finished, unless their scores are newer than these.

    Yields:
        The name of each ensemble that is scored, and why it could not be, empty where it could.
    """
    known: set[str] = set()
    for one in ensembles_of(plan, folder):
        if any(folder.state(cell) != "finished" for cell in one.cells):
            continue
        scorings = [
            Scoring(PROTOCOLS[protocol], checkpoint=plan.file.checkpoint)
            for protocol in plan.file.protocols
        ]
        newest = max(folder.finished_at(cell) for cell in one.cells)
        stale = [scoring for scoring in scorings if _time(scoring.folder(one.folder)) < newest]
        reason = ""
        try:
            for scoring in stale:
                evaluate_run(_subject(plan, folder, one, scoring, known))
        except UserError as error:
            reason = str(error)
        if stale:
            yield one.folder.path.name, reason


def _subject(
    plan: SweepPlan, folder: SweepFolder, one: SweepEnsemble, scoring: Scoring, known: set[str]
) -> Subject:
    runs = [RunFolder(folder.runs / cell.name) for cell in one.cells]
    return open_runs(runs, scoring, root=plan.data, known=known)


def _time(scored: Path) -> float:
    summary = scored / "summary.json"
    return summary.stat().st_mtime if summary.is_file() else 0.0
