"""A small face data root and a run on it, shared by the tests of verification."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tvseg.config import load_settings
from tvseg.verification.data.synth import write_face_root
from tvseg.verification.settings import FaceSettings

if TYPE_CHECKING:
    from tvseg.runs.folder import RunFolder

TINY = [
    "image_size=32", "embedding=16", "precision=fp32", "train.batch=6", "train.epochs=2",
    "train.drop_epochs=[1]", "train.margin_warmup=1",
]  # fmt: skip


def settings(*more: str) -> FaceSettings:
    """Return settings of a training of seconds."""
    return load_settings(None, [*TINY, *more], FaceSettings)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of 5 people to train on."""
    root = tmp_path_factory.mktemp("faces") / "root"
    write_face_root(root, people=5, pictures=4, unseen=20)
    return root


@pytest.fixture(scope="session")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> "RunFolder":
    """A finished run on it."""
    from tvseg.verification.training.train import train_faces

    return train_faces(settings(), root=root, runs=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def scored(root: Path, run: "RunFolder") -> Path:
    """The folder of this run, scored on the test pairs."""
    from tvseg.verification.data.pictures import read_pair_set
    from tvseg.verification.evaluation.evaluate import evaluate_faces

    evaluate_faces([run.path], [read_pair_set(root / "pairs_test.csv", side_px=32)])
    return run.path
