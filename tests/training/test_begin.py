"""What must hold when a training begins: fair first weights, and a run that stays as it is."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tvseg.config import load_settings
from tvseg.errors import UserError
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings
from tvseg.training import prepare as prepare_module
from tvseg.training.train import train

TINY = ["aspp=dense", "encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=1",
        "train.steps_per_epoch=1", "train.images_per_centre=2"]  # fmt: skip


def _tiny(*overrides: str) -> SegmentationSettings:
    return load_settings(None, [*TINY, *overrides])


@pytest.fixture(scope="module")
def finished(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(_tiny(), holdout="A", root=phantoms, runs=tmp_path_factory.mktemp("runs"))


def test_weights_that_have_seen_the_centre_are_refused_before_anything_is_written(
    finished: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    settings = _tiny(f"init={finished.best}")
    with pytest.raises(UserError, match="was trained with holdout A, on photographs of B"):
        train(settings, holdout="B", root=phantoms, runs=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_doubts_of_first_weights_stay_with_the_run(
    finished: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    mask = min((data / "Domain1").glob("train/*/mask/*"))
    Image.fromarray(np.roll(np.array(Image.open(mask)), 3, axis=0)).save(mask)
    settings = _tiny(f"init={finished.best}")
    run = train(settings, holdout="B", root=data, runs=tmp_path / "runs")
    (doubt,) = run.info()["doubts"]
    assert "the same folders of centres (B)" in doubt
    assert doubt in (run.path / "train.log").read_text()


def test_a_run_that_changes_while_data_are_read_is_left_alone(
    finished: RunFolder, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / finished.path.name)
    shutil.copytree(finished.path, run.path)
    run.write_info(finished=None)
    read = prepare_module.read_data

    def meanwhile(*given: Any, **how: Any) -> Any:
        run.path.rename(tmp_path / "old")
        return read(*given, **how)

    monkeypatch.setattr(prepare_module, "read_data", meanwhile)
    with pytest.raises(UserError, match="its checkpoints were removed meanwhile"):
        train(_tiny(), holdout="A", root=phantoms, runs=tmp_path, resume=True)
    assert {path.name for path in run.path.iterdir()} == {".lock"}
