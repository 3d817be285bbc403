"""The folder of predictions: who may write it, and the tables made of finished batches."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock
from pydantic import BaseModel

from tvseg.csv_files import write_csv
from tvseg.errors import UserError
from tvseg.files import open_atomically, remove_temporaries, write_bytes
from tvseg.inference.input.find import Photograph
from tvseg.inference.output.formats import COCO, files_of
from tvseg.inference.output.progress import FOLDER, BatchRecord, BatchRecords
from tvseg.inference.prediction import Measurements
from tvseg.runs.record import RunRecord

FAILURE_COLUMNS = ("id", "path", "reason")


class PredictionInfo(BaseModel):
    """The key of ``run.json`` that is read again: what decided the output."""

    about: dict[str, Any]


@dataclass
class Tally:
    """What became of the photographs of a run.

    Attributes:
        predicted: How many have a row in ``measurements.csv``.
        failed: How many have one in ``failures.csv``.
        flags: How many of the predicted bear each flag.
        first_failures: The first ten rows of ``failures.csv``.
    """

    predicted: int = 0
    failed: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    first_failures: list[Measurements] = field(default_factory=list)


class OutputFolder:
    """A folder of predictions.

    Args:
        path: The folder.
        formats: Out of ``FORMATS`` and ``COCO``.
        structures: Names, in the order of categories.
    """

    def __init__(self, path: Path, *, formats: Sequence[str], structures: Sequence[str]) -> None:
        self.path = path
        self.formats = tuple(formats)
        self.coco = COCO in formats
        self.structures = tuple(structures)
        self.progress = BatchRecords(path)
        self.record = RunRecord(path, PredictionInfo, "predict into a new folder")

    def lock(self) -> BaseFileLock:
        """Return a lock that one run holds while it writes, however it ends."""
        (self.path / FOLDER).mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / FOLDER / "lock", timeout=0)

    def check_free(self, *, resume: bool) -> None:
        """Raise UserError unless a run may write here: a new folder, or one to resume."""
        known = self.record.path.is_file()
        used = self.path.exists() and (not self.path.is_dir() or _holds_files(self.path))
        if used and not (resume and known):
            hint = "; continue with --resume" if known and not resume else ""
            raise UserError(
                f"{self.path} must be new or an empty folder; give another --out or remove it{hint}"
            )

    def begin(self, photographs: Sequence[Photograph], about: Mapping[str, Any]) -> None:
        """Take the folder, before anything is computed.

        Args:
            photographs: What is to be predicted.
            about: What decides the output; a run that is resumed must have the same.

        Raises:
            UserError: The folder holds another run.
            OSError: The folder cannot be written.
        """
        if info := self.info():
            self.record.check_same(info["about"], about)
            self._check_ids(photographs)
            remove_temporaries(self.path)
        self.record.update(about=dict(about))
        for name in self.formats:
            if name != COCO:
                for path in files_of("", name, self.structures):
                    (self.path / path).parent.mkdir(parents=True, exist_ok=True)

    def info(self) -> dict[str, Any]:
        """Return what ``run.json`` holds, nothing when there is none."""
        return self.record.read() if self.record.path.is_file() else {}

    def write(self, photograph: Photograph, files: Mapping[Path, bytes]) -> None:
        """Write all files of a photograph, or none.

        Raises:
            OSError: One cannot be written.
        """
        try:
            for path, content in files.items():
                write_bytes(self.path / path, content)
        except OSError:
            self.remove(photograph)
            raise

    def remove(self, photograph: Photograph) -> None:
        """Remove the files of a photograph."""
        for name in self.formats:
            if name != COCO:
                for path in files_of(photograph.id, name, self.structures):
                    (self.path / path).unlink(missing_ok=True)

    def write_tables(self) -> Tally:
        """Make ``measurements.csv``, ``failures.csv`` and ``coco.json`` of all finished batches."""
        tally = Tally()
        for record in self.progress.records():
            tally.predicted += len(record.rows)
            tally.failed += len(record.failures)
            tally.flags.update(
                flag for row in record.rows for flag in str(row["flags"]).split("; ") if flag
            )
            tally.first_failures += record.failures[: 10 - len(tally.first_failures)]
        self._write_table("measurements", lambda record: record.rows)
        self._write_table("failures", lambda record: record.failures)
        if self.coco:
            with open_atomically(self.path / "coco.json") as file:
                for piece in self._coco_pieces():
                    file.write(piece.encode())
        return tally

    def _write_table(
        self, name: str, rows_of: Callable[[BatchRecord], Sequence[Measurements]]
    ) -> None:
        path = self.path / f"{name}.csv"
        rows = (row for record in self.progress.records() for row in rows_of(record))
        shown = ({key: _shown(value) for key, value in row.items()} for row in rows)
        if not write_csv(path, shown):
            path.unlink(missing_ok=True)

    def _coco_pieces(self) -> Iterator[str]:
        """Yield COCO's JSON in pieces, so that no more than one batch of contours is held."""
        numbers = enumerate(self.structures, start=1)
        categories = [{"id": number, "name": name} for number, name in numbers]
        yield f'{{"categories":{json.dumps(categories)},\n"images":['
        above = self._folder_above_all()
        for number, row in enumerate(self._rows(), start=1):
            tree = {
                "id": number,
                "file_name": Path(os.path.relpath(str(row["path"]), above)).as_posix(),
                "width": row["width_px"],
                "height": row["height_px"],
                "tvseg_id": row["id"],
            }
            yield ("" if number == 1 else ",") + "\n" + json.dumps(tree)
        yield '],\n"annotations":['
        by_photograph = (one for record in self.progress.records() for one in record.annotations)
        numbered = (
            {"image_id": image, **annotation}
            for image, annotations in enumerate(by_photograph, start=1)
            for annotation in annotations
        )
        for number, tree in enumerate(numbered, start=1):
            yield ("" if number == 1 else ",") + "\n" + json.dumps({"id": number, **tree})
        yield "]}\n"

    def _rows(self) -> Iterator[Measurements]:
        return (row for record in self.progress.records() for row in record.rows)

    def _folder_above_all(self) -> str:
        """Return the innermost folder that all predicted photographs are in."""
        above = ""
        for row in self._rows():
            folder = str(Path(str(row["path"])).absolute().parent)
            above = os.path.commonpath([above or folder, folder])
        return above

    def _check_ids(self, photographs: Sequence[Photograph]) -> None:
        """Raise UserError when photographs that were finished are missing, or have other ids."""
        now = {photograph.id for photograph in photographs}
        paths = {str(photograph.path): photograph.id for photograph in photographs}
        rows = (
            row for record in self.progress.records() for row in (*record.rows, *record.failures)
        )
        gone = {str(row["id"]): str(row["path"]) for row in rows if row["id"] not in now}
        renamed = [(old, paths[path]) for old, path in gone.items() if path in paths]
        if renamed:
            raise UserError(
                f"cannot resume {self.path}: ids changed, {renamed[0][0]} is now {renamed[0][1]}, "
                "since another file of that name was added; list the photographs in a CSV with "
                "their ids, or predict the new ones into another --out"
            )
        if gone:
            raise UserError(
                f"cannot resume {self.path} without the photographs that it was given before; "
                f"{len(gone)} missing, first {next(iter(gone))}"
            )


def _holds_files(folder: Path) -> bool:
    lock = folder / FOLDER / "lock"
    return any(path != lock and not path.is_dir() for path in folder.rglob("*"))


def _shown(value: str | int | float) -> str | int:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.4f}"
