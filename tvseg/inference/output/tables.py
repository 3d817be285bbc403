"""The tables of a folder of predictions, made of its records."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvseg.csv_files import write_csv
from tvseg.files import open_atomically
from tvseg.inference.output.progress import BatchRecord
from tvseg.inference.prediction import Measurements
from tvseg.remote_files import is_url

FAILURE_COLUMNS = ("id", "path", "reason")


@dataclass
class Tally:
    """What became of the photographs of a run.

    Attributes:
        predicted: How many have a row in ``measurements.csv``.
        failed: How many have one in ``failures.csv``.
        flags: How many of the predicted bear each flag.
        first_failures: The first ten rows of ``failures.csv``.
        unfinished: How many of the failed are to be tried again; counted by shards alone, whose
            rows leave them out.
    """

    predicted: int = 0
    failed: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    first_failures: list[Measurements] = field(default_factory=list)
    unfinished: int = 0

    def add(self, record: BatchRecord) -> None:
        """Count the photographs of a record."""
        self.predicted += len(record.rows)
        self.failed += len(record.failures)
        self.flags.update(
            flag for row in record.rows for flag in str(row["flags"]).split("; ") if flag
        )
        self.first_failures += record.failures[: 10 - len(self.first_failures)]


Records = Callable[[], Iterator[BatchRecord]]
"""Gives all records from the first on, whenever it is called."""


def write_tables(out: Path, records: Records, *, categories: Sequence[str] | None) -> Tally:
    """Write ``measurements.csv`` and ``failures.csv``, where there are rows, and ``coco.json``.

    Args:
        out: The folder.
        records: What was predicted.
        categories: Of COCO, the structures in order; ``None`` for no ``coco.json``.
    """
    tally = Tally()
    for record in records():
        tally.add(record)
    _write_table(out / "measurements.csv", (row for one in records() for row in one.rows))
    _write_table(out / "failures.csv", (row for one in records() for row in one.failures))
    if categories is not None:
        with open_atomically(out / "coco.json") as file:
            for piece in _coco_pieces(records, categories):
                file.write(piece.encode())
    return tally


def _write_table(path: Path, rows: Iterator[Measurements]) -> None:
    shown = ({key: _shown(value) for key, value in row.items()} for row in rows)
    if not write_csv(path, shown):
        path.unlink(missing_ok=True)


def _shown(value: str | int | float) -> str | int:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.4f}"


def _coco_pieces(records: Records, structures: Sequence[str]) -> Iterator[str]:
    """Yield COCO's JSON in pieces, so that no more than one batch of contours is held."""
    numbers = enumerate(structures, start=1)
    categories = [{"id": number, "name": name} for number, name in numbers]
    yield f'{{"categories":{json.dumps(categories)},\n"images":['
    above = _folder_above_all(records)
    for number, row in enumerate(_rows(records), start=1):
        tree = {
            "id": number,
            "file_name": _below(above, str(row["path"])),
            "width": row["width_px"],
            "height": row["height_px"],
            "tvseg_id": row["id"],
        }
        yield ("" if number == 1 else ",") + "\n" + json.dumps(tree)
    yield '],\n"annotations":['
    by_photograph = (one for record in records() for one in record.annotations)
    numbered = (
        {"image_id": image, **annotation}
        for image, annotations in enumerate(by_photograph, start=1)
        for annotation in annotations
    )
    for number, tree in enumerate(numbered, start=1):
        yield ("" if number == 1 else ",") + "\n" + json.dumps({"id": number, **tree})
    yield "]}\n"


def _rows(records: Records) -> Iterator[Measurements]:
    return (row for record in records() for row in record.rows)


def _folder_above_all(records: Records) -> str:
    """Return the innermost folder that all predicted photographs of this machine are in."""
    above = ""
    for path in (str(row["path"]) for row in _rows(records)):
        if not is_url(path):
            folder = str(Path(path).absolute().parent)
            above = os.path.commonpath([above or folder, folder])
    return above


def _below(above: str, path: str) -> str:
    return path if is_url(path) else Path(os.path.relpath(path, above)).as_posix()
