"""The folder in which a training leaves everything that later stages read."""

import csv
import io
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock

import tvseg
from tvseg.config import dump_settings, read_settings
from tvseg.errors import UserError
from tvseg.files import write_json, write_text
from tvseg.settings import SegmentationSettings, run_name

PACKAGES = (
    "torch",
    "torchvision",
    "monai",
    "segmentation-models-pytorch",
    "albumentations",
    "numpy",
    "scipy",
)


@dataclass(frozen=True)
class RunFolder:
    """``<runs>/<name>-holdout-<letter>-seed<k>`` and the places of the files in it."""

    path: Path

    @staticmethod
    def of(runs: Path, settings: SegmentationSettings, holdout: str) -> "RunFolder":
        """The folder that a training with these settings writes."""
        return RunFolder(runs / run_name(settings, holdout))

    @property
    def last(self) -> Path:
        """Checkpoint of the last finished epoch, from which training goes on."""
        return self.path / "checkpoints" / "last.pt"

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
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tb"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    def info(self) -> dict[str, Any]:
        """What ``run.json`` holds.

        Raises:
            ValueError: There is no such file, or it is damaged.
        """
        path = self.path / "run.json"
        if not path.is_file():
            raise UserError(
                f"{self.path} must be a run folder of 'tvseg train'; it has no run.json"
            )
        try:
            content: dict[str, Any] = json.loads(path.read_text("utf-8"))
            missing = [key for key in ("holdout", "seed", "fingerprint") if key not in content]
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error}); train this run again") from error
        if missing or not isinstance(content, dict):
            raise UserError(f"{path} is damaged (no {', '.join(missing)}); train this run again")
        return content

    def settings(self) -> SegmentationSettings:
        """The resolved settings of the run."""
        return read_settings(self.path / "config.yaml")

    def is_finished(self) -> bool:
        """Whether training came to its end."""
        return bool(self.info().get("finished"))

    def check_free(self, settings: SegmentationSettings, *, resume: bool) -> bool:
        """Check that a training may write here, before anything costly is done.

        Args:
            settings: SegmentationSettings of the training that wants the folder.
            resume: Whether an unfinished training is to go on.

        Returns:
            Whether there is a checkpoint to go on from.

        Raises:
            ValueError: The folder holds another training, or one that is not to be continued.
        """
        if not (self.path / "config.yaml").exists():
            if self.path.exists() and {p.name for p in self.path.iterdir()} - {".lock"}:
                raise UserError(f"{self.path} must be a run folder or empty; it holds other files")
            return False
        if _identity(self.settings()) != _identity(settings):
            raise UserError(
                f"{self.path} holds a run with other settings (see its config.yaml); give this one "
                "a name of its own with name=NAME, or remove the folder"
            )
        if not self.last.exists():
            return False  # it ended before its first epoch did: nothing to lose
        if not resume:
            raise UserError(
                f"{self.path} exists; continue it with --resume, give name=NAME, or remove it"
            )
        return True

    def lock(self) -> BaseFileLock:
        """A lock that one training holds as long as it lasts, whatever ends it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / ".lock", timeout=0)

    def begin(
        self, settings: SegmentationSettings, splits: Mapping[str, list[str]], **info: Any
    ) -> None:
        """Write what is known before the first step: settings, every case by id, ``run.json``."""
        write_text(self.path / "config.yaml", dump_settings(settings))
        write_json(self.path / "splits.json", dict(splits))
        write_json(self.path / "run.json", info)

    def go_on(self, *, started: str, **expected: Any) -> None:
        """Note in ``run.json`` that training goes on, in circumstances that must be as before.

        Raises:
            ValueError: The data, the precision or another of ``expected`` is not as at the start.
        """
        info = self.info()
        for key, value in expected.items():
            if info[key] != value:
                raise UserError(
                    f"{self.path} must go on as it began: {key} was {info[key]}, is now {value}"
                )
        self.write_info(resumed=[*info.get("resumed", []), started])

    def write_info(self, **changes: Any) -> None:
        """Add to ``run.json``, which is written anew as a whole."""
        write_json(self.path / "run.json", self.info() | changes)

    def append_metrics(self, row: Mapping[str, object]) -> None:
        """Add a row to ``metrics.csv``; rows of this epoch and later ones give way."""
        rows = [old for old in self.read_metrics() if int(old["epoch"]) < int(str(row["epoch"]))]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, fieldnames=list(row), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, row])
        write_text(self.metrics, buffer.getvalue())

    def read_metrics(self) -> list[dict[str, str]]:
        """The rows of ``metrics.csv``, oldest first."""
        if not self.metrics.exists():
            return []
        with self.metrics.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def provenance(command: str, device: str) -> dict[str, Any]:
    """What ``run.json`` says of the circumstances."""
    return {
        "tvseg": tvseg.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
        "device": device,
        "command": command,
        "started": now(),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _identity(settings: SegmentationSettings) -> dict[str, Any]:
    """The settings that make two runs the same; where data lie and what is watched do not."""
    return settings.model_dump(exclude={"data": True, "train": {"log_affinity"}})


def _commit() -> str | None:
    """The commit of the checkout that the package runs from; None for an installed one."""
    here = Path(__file__).parent
    try:
        tracked = ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.run(tracked, capture_output=True, timeout=5, check=True)
        asked = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
