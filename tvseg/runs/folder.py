"""The folder in which a training leaves everything that later stages read."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout
from pydantic import BaseModel, model_validator

from tvseg.config import dump_settings, read_settings
from tvseg.csv_files import read_csv, write_csv
from tvseg.errors import UserError
from tvseg.files import is_temporary, remove_temporaries, write_json, write_text
from tvseg.runs.record import RunRecord
from tvseg.settings import RunSettings, SegmentationSettings, run_name

_log = logging.getLogger("tvseg")


class RunInfo(BaseModel):
    """Keys of ``run.json`` that other stages read; more are kept as they are."""

    holdout: str
    seed: int
    fingerprint: str
    precision: str | None = None
    data: str | None = None
    resumed: list[str | dict[str, Any]] = []
    finished: str | None = None
    train_seconds: float | None = None
    best_epoch: int | None = None
    best_dice: float | None = None
    chosen: str | None = None

    @model_validator(mode="after")
    def _a_finished_run_says_how(self) -> "RunInfo":
        if self.finished and None in (self.train_seconds, self.best_epoch, self.chosen):
            raise ValueError("finished needs train_seconds, best_epoch and chosen")
        return self


@dataclass(frozen=True)
class RunFolder:
    """``<runs>/<name>-holdout-<letter>-seed<k>`` and the files in it.

    Args:
        path: The folder.
        model: Class of the settings in it; one for each task.
    """

    path: Path
    model: type[RunSettings] = SegmentationSettings

    def is_of_task(self) -> bool:
        """Return whether the run is of the task that ``model`` sets, finished or not."""
        text = (self.path / "config.yaml").read_bytes()
        return f"\n{self.model.distinctive_key}:".encode() in b"\n" + text

    @staticmethod
    def of(runs: Path, settings: SegmentationSettings, holdout: str) -> "RunFolder":
        """Return the folder that a training with these settings writes."""
        return RunFolder(runs / run_name(settings, holdout))

    @property
    def last(self) -> Path:
        """The newest checkpoint, from which training continues."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def previous(self) -> Path:
        """Checkpoint before the last one; kept until the run is finished."""
        return self.path / "checkpoints" / "previous.pt"

    @property
    def best(self) -> Path:
        """Weights of the selected epoch."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def localizer(self) -> Path:
        """Weights and card of the network that finds the disc in full photographs."""
        return self.path / "localizer.safetensors"

    @property
    def affinity(self) -> Path:
        """Affinity maps of every epoch, where ``train.log_affinity`` was on."""
        return self.path / "affinity.safetensors"

    @property
    def inner(self) -> Path:
        """Folder of the runs that leave out one source each, with ``selection=lodo``."""
        return self.path / "lodo"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tb"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def _record(self) -> RunRecord:
        return RunRecord(self.path, RunInfo, "restore this file, or train the run again")

    def info(self) -> dict[str, Any]:
        """Return what ``run.json`` holds, with the keys of :class:`RunInfo`.

        Raises:
            UserError: There is no such file, or it is damaged.
        """
        return self._record.read()

    def settings(self) -> SegmentationSettings:
        """Return the resolved settings of the run."""
        return self._settings

    @cached_property
    def _settings(self) -> SegmentationSettings:
        return read_settings(self.path / "config.yaml", SegmentationSettings)

    def is_finished(self) -> bool:
        """Return whether training came to its end."""
        return bool(self.info().get("finished"))

    def check_finished(self) -> None:
        """Raise UserError unless training came to its end."""
        if not self.is_finished():
            raise UserError(f"{self.path} is not finished; continue it with 'tvseg train --resume'")

    def check_free(self, settings: RunSettings, *, resume: bool, overwrite: bool = False) -> None:
        """Check that a training may write here, before anything costly is done.

        Args:
            settings: Settings of the training that wants the folder.
            resume: Whether an unfinished training is to be continued.
            overwrite: Whether an older run is to be replaced.

        Raises:
            UserError: The folder holds something else, or a run neither to continue nor to replace.
        """
        names = {path.name for path in self.path.iterdir()} if self.path.exists() else set()
        if "config.yaml" not in names:
            if not all(map(is_temporary, names - {".lock", "train.log", self.inner.name})):
                raise UserError(f"{self.path} must be a run folder or empty; it holds other files")
            self._check_wanted(any(self.inner.glob("*")), resume=resume or overwrite)
            return
        if overwrite:
            return
        wanted = _identity(settings)
        found = _identity(read_settings(self.path / "config.yaml", self.model))
        if other := [f"{key}={found.get(key)}" for key in wanted if found.get(key) != wanted[key]]:
            raise UserError(
                f"{self.path} holds a run with other settings ({', '.join(other):.200}); give this "
                "one another name with name=NAME, or replace the older one with --overwrite"
            )
        results = [*self.checkpoints(), *([self.best] if self.best.exists() else [])]
        finished = "run.json" in names and self.is_finished()
        inner = any(self.inner.glob("*"))
        if not results and not finished and not inner:
            return  # it ended before its first epoch did: nothing to lose
        self._check_wanted(True, resume=resume)
        if not finished and results == [self.best]:
            raise UserError(
                f"cannot resume {self.path}: it has no {self.last.name}; train it anew with "
                "--overwrite"
            )

    def _check_wanted(self, begun: bool, *, resume: bool) -> None:
        if begun and not resume:
            raise UserError(
                f"{self.path} exists; continue it with --resume, replace it with --overwrite, or "
                "give another name with name=NAME"
            )

    def is_done(self, settings: RunSettings, *, resume: bool, overwrite: bool) -> bool:
        """Check as :meth:`check_free` does, and return whether nothing is left to be trained."""
        self.check_free(settings, resume=resume, overwrite=overwrite)
        return resume and not overwrite and self.is_trained()

    def is_trained(self) -> bool:
        """Return whether there is a run, and its training came to its end."""
        return self._record.path.exists() and self.is_finished()

    @contextmanager
    def open(self, settings: RunSettings, *, resume: bool, overwrite: bool) -> Iterator[None]:
        """Hold the folder for a training, without what an older or a killed one has left.

        Raises:
            UserError: Another training holds it, or as :meth:`check_free`.
        """
        try:
            held = self.lock().acquire()
        except Timeout as error:
            raise UserError(f"{self.path} is being written by another training") from error
        with held:
            self.check_free(settings, resume=resume, overwrite=overwrite)
            if overwrite:
                self.clear()
            remove_temporaries(self.path)
            yield

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints that training can continue from, newest first."""
        return [path for path in (self.last, self.previous) if path.exists()]

    def clear(self) -> None:
        """Remove everything but the lock."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()
        self.__dict__.pop("_settings", None)

    def lock(self) -> BaseFileLock:
        """Return a lock that one training holds until it ends, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / ".lock", timeout=0)

    @contextmanager
    def log(self) -> Iterator[None]:
        """Append what is logged to ``train.log``."""
        handler = logging.FileHandler(self.path / "train.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        level = _log.level
        _log.addHandler(handler)
        _log.setLevel(level or logging.INFO)
        try:
            yield
        finally:
            _log.setLevel(level)
            _log.removeHandler(handler)
            handler.close()

    def begin(self, settings: RunSettings, splits: Mapping[str, list[str]], **info: Any) -> None:
        """Write what is known before the first step: settings, every case by id, ``run.json``."""
        write_text(self.path / "config.yaml", dump_settings(settings))
        write_json(self.path / "splits.json", dict(splits))
        write_json(self._record.path, info)

    def continue_with(self, about: Mapping[str, Any], **expected: Any) -> None:
        """Note in ``run.json`` that training continues, and what differs from the beginning.

        Raises:
            UserError: One of ``expected`` is not as at the start, or ``metrics.csv`` is damaged.
        """
        self.check_same(**expected)
        self.read_metrics()  # damaged ones are refused before anything is computed
        info = self.info()
        changed = {key: value for key, value in about.items() if value != info.get(key)}
        self.write_info(resumed=[*info.get("resumed", []), changed])

    def check_same(self, **expected: Any) -> None:
        """Raise UserError unless the data, the precision and so on are as ``run.json`` has them."""
        info = {"processes": 1} | self.info()  # which earlier versions did not write
        self._record.check_same({key: info.get(key) for key in expected}, expected)

    def write_info(self, **changes: Any) -> None:
        """Change keys of ``run.json``, which is written anew as a whole."""
        self._record.update(**changes)

    def append_metrics(self, row: Mapping[str, object]) -> None:
        """Add a row to ``metrics.csv``; rows of this epoch and later ones give way."""
        rows = [old for old in self.read_metrics() if int(old["epoch"]) < int(str(row["epoch"]))]
        write_csv(self.metrics, [{key: one.get(key) for key in row} for one in (*rows, row)])

    def read_metrics(self) -> list[dict[str, str]]:
        """Return the rows of ``metrics.csv``, oldest first.

        Raises:
            UserError: The file is damaged.
        """
        if not self.metrics.exists():
            return []
        rows = [row for _, row in read_csv(self.metrics).rows]
        try:
            for row in rows:
                int(row["epoch"]), float(row["seconds"])
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{self.metrics} must have a row for each epoch with the columns epoch and seconds "
                f"({error}); restore the file, or remove it to go without the rows before"
            ) from error
        return rows


def _identity(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that decide results; the precision is compared as it was resolved."""
    dropped = dict.fromkeys(("data", "tracking", "precision"), True)
    tree = settings.model_dump(exclude=dropped | {"train": {"log_affinity", "workers"}})
    train = {f"train.{key}": value for key, value in tree.pop("train").items()}
    return tree | train
