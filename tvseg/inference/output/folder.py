"""The folder of predictions: who may write it, and what."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

from tvseg.errors import UserError
from tvseg.files import remove_temporaries, write_bytes
from tvseg.inference.input.find import Photograph
from tvseg.inference.output.formats import COCO, files_of
from tvseg.inference.output.progress import FOLDER, BatchRecords
from tvseg.inference.output.tables import Tally, write_tables
from tvseg.runs.record import RunRecord

_SET = "photographs"
"""Key of ``about``: the set that runs share, where several write one folder."""

FORMER = {"shape": "free"}
"""What holds where ``about`` of an earlier version lacks a key."""


class PredictionInfo(BaseModel):
    """The key of ``run.json`` that is read again: what decided the output."""

    about: dict[str, Any]


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

    @contextmanager
    def lock(
        self, name: str = "run.lock", *, part: str = "", timeout_s: float = 0
    ) -> Iterator[None]:
        """Hold a lock while a run writes, however it ends.

        Args:
            name: Of the lock; runs that write different parts hold different ones.
            part: What the run writes, for the message, such as ``shard 1/2``.
            timeout_s: How long to wait for another run's end.

        Raises:
            UserError: Another run holds the lock.
        """
        (self.path / FOLDER).mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / FOLDER / name, timeout=timeout_s):
                yield
        except Timeout as error:
            whose = f"{part} of {self.path}" if part else self.path
            raise UserError(
                f"{whose} is being written by another tvseg predict; wait for its end"
            ) from error

    def check_free(self, *, resume: bool) -> None:
        """Raise UserError unless a run may write here: a new folder, or one to resume."""
        if resume:
            self.info()  # of a training, say
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
            self._check_same(info["about"], about)
            self._check_ids(photographs)
            remove_temporaries(self.path)
        self.record.update(about=dict(about))
        self._make_folders()

    def join(self, about: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Take the folder beside other runs, which write other photographs of the same set.

        Args:
            about: What decides the output, and the set.
            provenance: The circumstances; those of the first run are kept.

        Raises:
            UserError: The folder holds other predictions.
            OSError: The folder cannot be written.
        """
        try:
            self._check_joins(about)
        except UserError:
            if not (self.path / FOLDER).is_dir():  # no run has begun: nothing is written
                raise
        with self.lock("begin.lock", timeout_s=60):
            self._check_joins(about)
            if not self.info():
                self.record.update(about=dict(about), **provenance)
        self._make_folders()

    def _check_joins(self, about: Mapping[str, Any]) -> None:
        if info := self.info():
            self._check_same(info["about"], about)
        else:
            self.check_free(resume=False)

    def _check_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if (_SET in before) != (_SET in now):
            one, shared = "one process", "--shard, --engine ray or predict-merge"
            ways = {one: "--resume without --shard and --engine ray",
                    shared: "--shard or --engine ray without --resume"}  # fmt: skip
            whose = shared if _SET in before else one
            raise UserError(
                f"{self.path} holds predictions of {whose}; give {ways[whose]}, or another --out"
            )
        self.record.check_same(FORMER | dict(before), FORMER | dict(now))

    def _make_folders(self) -> None:
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
        categories = self.structures if self.coco else None
        return write_tables(self.path, self.progress.records, categories=categories)

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
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    return any(path.parent != folder / FOLDER or path.suffix != ".lock" for path in paths)
