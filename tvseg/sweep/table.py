"""The tables of a sweep: scores where there are some, and what is missing."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.evaluation.tables.table import Table, to_markdown
from tvseg.files import write_json, write_text
from tvseg.settings import held_out
from tvseg.sweep.cells import Scores, SweepFolder, scores_of, state_of
from tvseg.sweep.ensembles import ensembles_of, is_current
from tvseg.sweep.plan import SweepCell, SweepPlan, by_variant
from tvseg.sweep.progress import progress_of


@dataclass(frozen=True)
class _Layout:
    """How the scores of a task are named and read.

    Attributes:
        score: Its name.
        part: What is scored apart, the title of a column.
    """

    score: str
    part: str


_LAYOUTS = {
    "segmentation": _Layout("DSC", "structure"),
    "faces": _Layout("Accuracy", "set"),
}


def table_of(plan: SweepPlan, folder: SweepFolder, *, jobs: int = 1) -> Table:
    """Return a row for each protocol, structure and variant, and a column for each hold-out.

    Of a task without centres, a row for each protocol, set of pairs and variant, and one column. A
    cell of the table holds mean and standard deviation of the score over seeds in %, and how many
    of the seeds are missing; the score of several centres is their mean. Trainings that hold out
    none are not scored. Ensembles, where the sweep has them, are variants of their own.
    """
    rows = pd.DataFrame(_rows(plan, folder))
    caption = (
        f"{_LAYOUTS[plan.file.task].score} in %, mean (standard deviation over seeds). "
        f"{progress_of(plan, folder, jobs=jobs)}."
    )
    return Table.of(caption, rows, heads=3, name="sweep")


def _rows(plan: SweepPlan, folder: SweepFolder) -> Iterator[dict[str, str]]:
    layout = _LAYOUTS[plan.file.task]
    for protocol in plan.file.protocols:
        runs = _by_variant_and_holdout(plan, folder, protocol)
        scores = [score for of in runs.values() for seeds in of.values() for score in seeds]
        parts = dict.fromkeys(part for score in scores for part, _ in score)
        for part in parts or ["?"]:
            for variant, of_holdout in runs.items():
                row = {"protocol": protocol, layout.part: part, "variant": variant}
                for holdout in plan.file.holdouts or ("",):
                    seeds = [_over_centres(s, part, holdout) for s in of_holdout.get(holdout, [])]
                    row[holdout or layout.score.lower()] = (
                        "not scored" if holdout == "none" else _entry(seeds)
                    )
                yield row


def _over_centres(score: Scores, part: str, holdout: str) -> float | None:
    """Return the mean score over the centres of a hold-out, None unless all are scored."""
    values = [score[part, c] for c in held_out(holdout) if (part, c) in score]
    return statistics.mean(values) if values and len(values) == len(held_out(holdout)) else None


def _by_variant_and_holdout(
    plan: SweepPlan, folder: SweepFolder, protocol: str
) -> dict[str, dict[str, list[Scores]]]:
    """Return the scores of each seed, those of ensembles last."""
    runs: dict[str, dict[str, list[Scores]]] = {}
    for variant, cells in by_variant(plan.cells).items():
        for cell in (one for one in cells if not one.sources):
            of_holdout = runs.setdefault(variant, {})
            of_holdout.setdefault(cell.holdout or "", []).append(
                _scores_of(plan, folder, cell, protocol)
            )
    for one in ensembles_of(plan, folder):
        current = is_current(plan, folder, one, _scoring(plan, protocol))
        scores = (current and scores_of(plan, one.folder.path, protocol)) or {}
        runs.setdefault(one.label, {})[one.holdout] = [scores]
    return runs


def cross_table(plan: SweepPlan, folder: SweepFolder) -> Table:
    """Return a row for each protocol, structure, variant and choice of sources, a column a centre.

    Entries are as in :func:`table_of`; those of centres trained on are of their test splits. The
    numbers of the table are the means.
    """
    text, numbers = [], []
    crossed = [cell for cell in plan.cells if cell.sources]
    centres = sorted(
        {c for cell in crossed for c in (*_sources(cell), *held_out(str(cell.holdout)))}
    )
    rows = dict.fromkeys((cell.variant, cell.sources) for cell in crossed)
    for protocol in plan.file.protocols:
        scores = {cell: _scores_of(plan, folder, cell, protocol) for cell in crossed}
        structures = dict.fromkeys(name for score in scores.values() for name, _ in score)
        for structure in structures or ["?"]:
            for variant, sources in rows:
                of = [scores[c] for c in crossed if (c.variant, c.sources) == (variant, sources)]
                seeds = {c: [score.get((structure, c)) for score in of] for c in centres}
                heads = {"protocol": protocol, "structure": structure, "variant": variant,
                         "trained on": sources}  # fmt: skip
                text.append(heads | {c: _entry(values) for c, values in seeds.items()})
                numbers.append(heads | {c: _mean(values) for c, values in seeds.items()})
    caption = (
        "DSC in % by the centres trained on (rows) and scored (columns), mean (standard deviation "
        "over seeds); of centres trained on, their test splits."
    )
    return Table.of(
        caption, pd.DataFrame(text), numbers=pd.DataFrame(numbers), heads=4, name="cross"
    )


def _sources(cell: SweepCell) -> list[str]:
    return cell.sources.split("+")


def _scores_of(plan: SweepPlan, folder: SweepFolder, cell: SweepCell, protocol: str) -> Scores:
    """Return the scores of a cell on every centre that it is scored on."""
    if folder.record(cell) is None:  # the run folder may be of other settings
        return {}
    run = folder.runs / cell.name
    scores = scores_of(plan, run, protocol) or {}
    return scores | ((cell.sources and scores_of(plan, run, protocol, "sources")) or {})


def _scoring(plan: SweepPlan, protocol: str) -> Scoring:
    return Scoring(PROTOCOLS[protocol], checkpoint=plan.file.checkpoint)


def _mean(seeds: Sequence[float | None]) -> float | None:
    values = [value for value in seeds if value is not None]
    return statistics.mean(values) if values else None


def _entry(seeds: Sequence[float | None]) -> str:
    values = [value for value in seeds if value is not None]
    if not values:
        return "missing"
    spread = f" ({statistics.stdev(values):.2f})" if len(values) > 1 else ""
    lacking = len(seeds) - len(values)
    missing = f" {lacking} of {len(seeds)} missing" if lacking else ""
    return f"{statistics.mean(values):.2f}{spread}{missing}"


def write_table(plan: SweepPlan, folder: SweepFolder, *, jobs: int = 1) -> Table:
    """Write ``sweep.md`` and ``sweep.json`` into the sweep's folder, and return the table.

    Where the sweep names sources, the table is that of :func:`cross_table`, below the other one if
    there are hold-outs as well.
    """
    tables = (
        [] if plan.file.sources and not plan.file.holdouts else [table_of(plan, folder, jobs=jobs)]
    )
    tables += [cross_table(plan, folder)] if plan.file.sources else []
    cells = [
        {"cell": cell.name, "variant": cell.variant, "holdout": cell.holdout, "seed": cell.seed}
        | _record(plan, folder, cell)
        for cell in plan.cells
    ]
    content: dict[str, Any] = {"caption": tables[0].caption, "cells": cells}
    content |= {"rows" if one.name == "sweep" else one.name: one.numbers.to_dict("records")
                for one in tables}  # fmt: skip
    write_json(folder.path / "sweep.json", content)
    failed = [f"- {cell['cell']} failed: {cell['reason']}" for cell in cells
              if cell["state"] == "failed"]  # fmt: skip
    parts = [*map(to_markdown, tables), *failed]
    write_text(folder.path / "sweep.md", "\n".join(parts).rstrip() + "\n")
    return tables[0]


def _record(plan: SweepPlan, folder: SweepFolder, cell: SweepCell) -> dict[str, Any]:
    record = folder.record(cell)
    if record is None:
        return {"state": "new", "fingerprint": cell.fingerprint, "reason": ""}
    state = state_of(plan, cell, folder)
    return asdict(record) | {"state": state, "seconds": round(record.seconds, 1)}
