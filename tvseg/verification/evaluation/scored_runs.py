"""Scores that 'tvseg faces eval' has left in run folders, read again for figures and reports."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from tvseg.config import read_settings
from tvseg.documents import check_tree
from tvseg.errors import UserError, one_line
from tvseg.files import read_json
from tvseg.runs.folder import RunFolder
from tvseg.verification.settings import FaceSettings

DISTANCES = {"same": int, "squared_distance": float}
"""Columns of files of distances that are read again, and their types."""


@dataclass(frozen=True)
class SetScore:
    """Scores of one run on one set of pairs.

    Attributes:
        set: Name of the set.
        pairs: Number of pairs.
        accuracy: Mean over folds, in %.
        standard_error: Of the mean over folds, in percentage points.
        threshold: Mean over folds, a squared distance of unit embeddings.
        tar_at_far_1e2: True accept rate at a false accept rate of 1e-2, in %.
        tar_at_far_1e3: The same at 1e-3.
        auc: Area under the ROC curve, 0 to 1.
        eer: Equal error rate, in %.
    """

    set: str
    pairs: int
    accuracy: float
    standard_error: float
    threshold: float
    tar_at_far_1e2: float
    tar_at_far_1e3: float
    auc: float
    eer: float


class ScoresFile(BaseModel):
    """What is read again of ``scores.json``."""

    chosen: str
    scores: Annotated[list[SetScore], Field(min_length=1)]


@dataclass(frozen=True)
class ScoredRun:
    """A run of 'tvseg faces train' that was scored under a protocol.

    Attributes:
        folder: The run.
        settings: Of the run.
        protocol: Of the scores.
        chosen: How the epoch was chosen, in words.
        scores: A mapping for each set of pairs, the fields of :class:`SetScore`.
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
        """Return the distances of the pairs of a set; see :func:`read_distances`."""
        path = self.folder.path / "eval" / self.protocol / f"{name}.csv"
        if not path.is_file():
            raise UserError(f"{path} is missing: score the run with 'tvseg faces eval'")
        found = read_distances(path)
        pairs = next(score["pairs"] for score in self.scores if score["set"] == name)
        if len(found) != pairs:
            raise UserError(f"{path} must hold {pairs} pairs, holds {len(found)}; {_SCORE_AGAIN}")
        return found


_SCORE_AGAIN = "score the run again"


def read_distances(path: Path, *, remedy: str = _SCORE_AGAIN) -> pd.DataFrame:
    """Return the columns ``same`` and ``squared_distance`` of a file of distances.

    Args:
        path: Written from what :func:`tvseg.verification.distances.distances_of` returns.
        remedy: What to do about a damaged file, for the message.

    Raises:
        UserError: A damaged file.
    """
    try:
        found: pd.DataFrame = pd.read_csv(path, usecols=list(DISTANCES), dtype=DISTANCES)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path} is damaged ({one_line(error):.80}); {remedy}") from error
    if set(found["same"]) != {0, 1} or not np.isfinite(found["squared_distance"]).all():
        raise UserError(
            f"{path} must hold pairs of one person (same 1) and of two (same 0), each with a "
            f"distance; {remedy}"
        )
    return found


def find_face_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the run folders among paths and right below them, in order.

    A folder counts once, whatever paths or links lead to it.

    Raises:
        UserError: A path holds none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        below = [path] if (path / "config.yaml").is_file() else sorted(
            file.parent for file in path.glob("*/config.yaml")
        )  # fmt: skip
        below = [run for run in below if RunFolder(run, FaceSettings).is_of_task()]
        if not below:
            raise UserError(f"{path} must be a run of 'tvseg faces train' or a folder of such runs")
        for run in below:
            found.setdefault(run.resolve(), run)
    return list(found.values())


def read_scored(paths: Sequence[Path], *, protocol: str) -> list[ScoredRun]:
    """Read the scores of runs.

    Args:
        paths: Run folders.
        protocol: Under which they were scored.

    Raises:
        UserError: A run was not scored under the protocol, or its scores are damaged; or two are
            the same training.
    """
    runs = [_read(path, protocol) for path in paths]
    known: dict[tuple[str, str], Path] = {}
    for run in runs:
        settings = run.settings.model_dump_json(exclude={"data"})
        path = run.folder.path
        other = known.setdefault((settings, run.folder.info()["fingerprint"]), path)
        if other != path:
            raise UserError(
                f"{other} and {path} have the same settings, seed and data, and would count as two "
                "trainings; name one of them"
            )
    return runs


def _read(path: Path, protocol: str) -> ScoredRun:
    file = path / "eval" / protocol / "scores.json"
    if not file.is_file():
        raise UserError(
            f"{path} has no scores under the protocol {protocol}: run 'tvseg faces eval {path} "
            f"--data ROOT --protocol {protocol}'"
        )
    settings = read_settings(path / "config.yaml", FaceSettings)
    try:
        content = check_tree(ScoresFile, read_json(file), file)
    except UserError as error:
        raise UserError(f"{error}; {_SCORE_AGAIN}") from error
    scores = tuple(map(asdict, content.scores))
    return ScoredRun(RunFolder(path, FaceSettings), settings, protocol, content.chosen, scores)


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
    """Return a row for each run and set, like 'tvseg faces eval'."""
    return pd.DataFrame(
        [about_run(run.folder.path, run.settings) | score for run in runs for score in run.scores]
    )
