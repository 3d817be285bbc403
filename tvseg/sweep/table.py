"""The table of a sweep: scores where there are some, and what is missing."""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tvseg.evaluation.schema import MEAN_MASK
from tvseg.evaluation.tables.table import Table, to_markdown
from tvseg.files import write_json, write_text
from tvseg.sweep.cells import SweepFolder
from tvseg.sweep.plan import SweepCell, SweepPlan, by_variant
from tvseg.sweep.progress import progress_of

Scores = dict[str, float]
"""What is scored apart (a structure, a set of pairs) -> score in %."""


@dataclass(frozen=True)
class _Layout:
    """How the scores of a task are named and read.

    Attributes:
        score: Its name.
        part: What is scored apart, the title of a column.
        read: Folder of a run and a protocol -> its scores.
    """

    score: str
    part: str
    read: Callable[[Path], Scores]


def _dice(folder: Path) -> Scores:
    return {
        str(row["structure"]): float(row["mean"]) for row in _rows_of(folder / "summary.json")
        if row["metric"] == "dice" and row["variant"] != MEAN_MASK and row["mean"] is not None
    }  # fmt: skip


def _accuracy(folder: Path) -> Scores:
    return {str(row["set"]): float(row["accuracy"]) for row in _rows_of(folder / "scores.json")}


def _rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return rows


_LAYOUTS = {
    "segmentation": _Layout("DSC", "structure", _dice),
    "faces": _Layout("Accuracy", "set", _accuracy),
}


def table_of(plan: SweepPlan, folder: SweepFolder, *, jobs: int = 1) -> Table:
    """Return a row for each protocol, structure and variant, and a column for each centre.

    Of a task without centres, a row for each protocol, set of pairs and variant, and one column. A
    cell of the table holds mean and standard deviation of the score over seeds in %, and how many
    of the seeds are missing.
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
        scores = {
            cell: _scores_of(plan, folder.runs / cell.name / "eval" / protocol)
            for cell in plan.cells
            if folder.state(cell) == "finished"
        }
        parts = dict.fromkeys(name for score in scores.values() for name in score)
        for part in parts or ["?"]:
            for variant, cells in by_variant(plan.cells).items():
                row = {"protocol": protocol, layout.part: part, "variant": variant}
                for holdout in plan.file.holdouts or (None,):
                    of = [scores.get(cell, {}) for cell in cells if cell.holdout == holdout]
                    row[holdout or layout.score.lower()] = _entry(
                        [score[part] for score in of if part in score], len(of)
                    )
                yield row


def _scores_of(plan: SweepPlan, folder: Path) -> Scores:
    try:
        return _LAYOUTS[plan.file.task].read(folder)
    except (OSError, ValueError, KeyError, TypeError):  # not scored, or damaged: missing
        return {}


def _entry(values: Sequence[float], total: int) -> str:
    if not values:
        return "missing"
    spread = f" ({statistics.stdev(values):.2f})" if len(values) > 1 else ""
    missing = f" {total - len(values)} of {total} missing" if len(values) < total else ""
    return f"{statistics.mean(values):.2f}{spread}{missing}"


def write_table(plan: SweepPlan, folder: SweepFolder, *, jobs: int = 1) -> Table:
    """Write ``sweep.md`` and ``sweep.json`` into the sweep's folder, and return the table."""
    table = table_of(plan, folder, jobs=jobs)
    cells = [
        {"cell": cell.name, "variant": cell.variant, "holdout": cell.holdout, "seed": cell.seed}
        | _record(folder, cell)
        for cell in plan.cells
    ]
    rows = table.numbers.to_dict("records")
    write_json(folder.path / "sweep.json", {"caption": table.caption, "cells": cells, "rows": rows})
    failed = [f"- {cell['cell']} failed: {cell['reason']}" for cell in cells
              if cell["state"] == "failed"]  # fmt: skip
    write_text(folder.path / "sweep.md", "\n".join([to_markdown(table), *failed]).rstrip() + "\n")
    return table


def _record(folder: SweepFolder, cell: SweepCell) -> dict[str, Any]:
    record = folder.record(cell)
    if record is None:
        return {"state": "new", "fingerprint": cell.fingerprint, "reason": ""}
    return asdict(record) | {"seconds": round(record.seconds, 1)}
