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

import tvseg
from tvseg.config import Settings, dump_settings, load_settings
from tvseg.files import write_json, write_text

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
    def of(runs: Path, settings: Settings, holdout: str) -> "RunFolder":
        """The folder that a training with these settings writes."""
        return RunFolder(runs / f"{settings.run_name}-holdout-{holdout}-seed{settings.seed}")

    @property
    def last(self) -> Path:
        """Checkpoint of the last finished epoch, from which training goes on."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        """Weights of the selected epoch."""
        return self.path / "checkpoints" / "best.safetensors"

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
        try:
            content: dict[str, Any] = json.loads((self.path / "run.json").read_text("utf-8"))
            return content
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self.path} must be a run folder that 'tvseg train' wrote, with a run.json in it"
            ) from error

    def settings(self) -> Settings:
        """The resolved settings of the run."""
        return load_settings(self.path / "config.yaml")

    def is_finished(self) -> bool:
        """Whether training came to its end."""
        return bool(self.info().get("finished"))

    def open(self, settings: Settings, holdout: str, *, resume: bool) -> bool:
        """Make the folder, or check that an existing one may be continued.

        Args:
            settings: Settings of the training that wants the folder.
            holdout: Its held-out centre.
            resume: Whether an unfinished training is to go on.

        Returns:
            Whether there is a checkpoint to go on from.

        Raises:
            ValueError: The folder holds another training, or one that is not to be continued.
        """
        config = self.path / "config.yaml"
        if not config.exists():
            if self.path.exists() and any(self.path.iterdir()):
                raise ValueError(f"{self.path} must be a run folder or empty; it holds other files")
            write_text(config, dump_settings(settings))
            return False
        if _identity(self.settings()) != _identity(settings):
            raise ValueError(
                f"{self.path} holds a run with other settings (see its config.yaml); give this one "
                "a name of its own with name=NAME, or remove the folder"
            )
        if not self.last.exists():
            return False  # it ended before its first epoch did: nothing to lose
        if not resume:
            raise ValueError(
                f"{self.path} exists; continue it with --resume, give name=NAME, or remove it"
            )
        return True

    def write_splits(self, names: Mapping[str, list[str]]) -> None:
        """Keep every case by id."""
        write_json(self.path / "splits.json", dict(names))

    def write_info(self, **changes: Any) -> None:
        """Add to ``run.json``, which is written anew as a whole."""
        path = self.path / "run.json"
        content = self.info() if path.exists() else {}
        write_json(path, content | changes)

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


def _identity(settings: Settings) -> dict[str, Any]:
    """The settings that make two runs the same; where the data lie does not."""
    return settings.model_dump(exclude={"data"})


def _commit() -> str | None:
    """The commit of the checkout that the package runs from; None for an installed one."""
    here = Path(__file__).parent
    try:
        asked = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
