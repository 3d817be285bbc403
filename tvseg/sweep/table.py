"""The table of a sweep: scores where there are some, and what is missing."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from tvseg.evaluation.schema import MEAN_MASK
from tvseg.evaluation.tables.table import Table, to_markdown
from tvseg.files import write_json, write_text
from tvseg.sweep.cells import SweepFolder
from tvseg.sweep.plan import SweepCell, SweepPlan, by_variant
from tvseg.sweep.progress import progress_of


def table_of(plan: SweepPlan, folder: SweepFolder, *, jobs: int = 1) -> Table:
    """Return a row for each protocol, structure and variant, and a column for each centre.

    A cell of the table holds mean and standard deviation of Dice over seeds in %, and how many of
    the seeds are missing.
    """
    rows = pd.DataFrame(_rows(plan, folder))
    caption = (
        f"DSC in %, mean (standard deviation over seeds). {progress_of(plan, folder, jobs=jobs)}."
    )
    return Table.of(caption, rows, heads=3, name="sweep")


def _rows(plan: SweepPlan, folder: SweepFolder) -> Iterator[dict[str, str]]:
    for protocol in plan.file.protocols:
        scores = {
            cell: _dice(folder.runs / cell.name / "eval" / protocol / "summary.json")
            for cell in plan.cells
            if folder.state(cell) == "finished"
        }
        structures = dict.fromkeys(name for score in scores.values() for name in score)
        for structure in structures or ["?"]:
            for variant, cells in by_variant(plan.cells).items():
                row = {"protocol": protocol, "structure": structure, "variant": variant}
                for holdout in plan.file.holdouts:
                    of = [scores.get(cell, {}) for cell in cells if cell.holdout == holdout]
                    row[holdout] = _entry(
                        [score[structure] for score in of if structure in score], len(of)
                    )
                yield row


def _entry(values: Sequence[float], total: int) -> str:
    if not values:
        return "missing"
    spread = f" ({statistics.stdev(values):.2f})" if len(values) > 1 else ""
    missing = f" {total - len(values)} of {total} missing" if len(values) < total else ""
    return f"{statistics.mean(values):.2f}{spread}{missing}"


def _dice(path: Path) -> dict[str, float]:
    """Read structure -> mean Dice in % of a run's summary."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows: list[dict[str, Any]] = content["scores"]
        return {
            row["structure"]: float(row["mean"]) for row in rows
            if row["metric"] == "dice" and row["variant"] != MEAN_MASK and row["mean"] is not None
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return {}


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
