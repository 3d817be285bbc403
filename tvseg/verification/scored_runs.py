"""Scores that 'tvseg faces eval' has left in run folders, read again for figures and reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tvseg.config import read_settings
from tvseg.errors import UserError
from tvseg.files import read_json
from tvseg.runs.folder import RunFolder
from tvseg.verification.settings import FaceSettings


@dataclass(frozen=True)
class ScoredRun:
    """A run of 'tvseg faces train' that was scored under a protocol.

    Attributes:
        folder: The run.
        settings: Of the run.
        protocol: Of the scores.
        chosen: How the epoch was chosen, in words.
        scores: A mapping for each set of pairs, the fields of
            :class:`tvseg.verification.evaluate.SetScore`.
    """

    folder: RunFolder
    settings: FaceSettings
    protocol: str
    chosen: str
    scores: tuple[dict[str, Any], ...]

    @property
    def variant(self) -> str:
        """Name of the run without its seed."""
        return self.settings.display_name

    def distances(self, name: str) -> pd.DataFrame:
        """Return the distances of the pairs of a set; see :mod:`tvseg.verification.distances`."""
        path = self.folder.path / "eval" / self.protocol / f"{name}.csv"
        if not path.is_file():
            raise UserError(f"{path} is missing: score the run with 'tvseg faces eval'")
        return pd.read_csv(path)


def find_face_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the run folders among paths and right below them, in order and each once.

    Raises:
        UserError: A path holds none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        below = [path] if (path / "config.yaml").is_file() else sorted(
            file.parent for file in path.glob("*/config.yaml")
        )  # fmt: skip
        below = [run for run in below if RunFolder(run, FaceSettings).is_of_task()]
        if not below:
            raise UserError(f"{path} must be a run of 'tvseg faces train' or a folder of such runs")
        found |= dict.fromkeys(below)
    return list(found)


def read_scored(paths: Sequence[Path], *, protocol: str) -> list[ScoredRun]:
    """Read the scores of runs.

    Args:
        paths: Run folders.
        protocol: Under which they were scored.

    Raises:
        UserError: A run was not scored under the protocol, or its scores are damaged.
    """
    return [_read(path, protocol) for path in paths]


def _read(path: Path, protocol: str) -> ScoredRun:
    file = path / "eval" / protocol / "scores.json"
    if not file.is_file():
        raise UserError(
            f"{path} has no scores under the protocol {protocol}: run 'tvseg faces eval {path} "
            f"--data ROOT --protocol {protocol}'"
        )
    settings = read_settings(path / "config.yaml", FaceSettings)
    content = read_json(file)
    try:
        scores = tuple(dict(score) for score in content["scores"])
        return ScoredRun(
            RunFolder(path, FaceSettings), settings, protocol, content["chosen"], scores
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error!r:.80}); score the run again") from error


def about_run(path: Path, settings: FaceSettings) -> dict[str, Any]:
    """Return what tables say of a run: its name, variant, backbone, width, operator and seed."""
    return {
        "run": path.name,
        "variant": settings.display_name,
        "backbone": settings.backbone,
        "width": settings.width,
        "operator": settings.operator,
        "seed": settings.seed,
    }


def score_rows(runs: Sequence[ScoredRun]) -> pd.DataFrame:
    """Return a row for each run and set, as :func:`tvseg.verification.evaluate.evaluate_faces`."""
    return pd.DataFrame(
        [about_run(run.folder.path, run.settings) | score for run in runs for score in run.scores]
    )
