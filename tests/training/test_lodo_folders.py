"""Inner runs of selection=lodo serve the training that they were made for, and no other."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ignite.engine import Engine

from tvseg.config import load_settings
from tvseg.errors import UserError
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings
from tvseg.training import train as module
from tvseg.training.lodo import Train, cross_validate
from tvseg.training.loop import TrainingLoop
from tvseg.training.stop import TrainingStopped
from tvseg.training.train import train

KEYS = ["aspp=dense", "encoder_weights=none", "image_size=32", "precision=fp32", "train.epochs=1",
        "train.steps_per_epoch=1", "train.images_per_centre=2", "selection=lodo"]  # fmt: skip
SETTINGS = load_settings(None, KEYS)


@pytest.fixture(scope="module")
def interrupted(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, one with its inner runs finished and nothing more."""
    runs = tmp_path_factory.mktemp("lodo")

    def stop(settings: SegmentationSettings, holdout: str, inner: Train) -> int:
        cross_validate(settings, holdout, inner)
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "cross_validate", stop)
        with pytest.raises(InterruptedError):
            train(SETTINGS, holdout="A+B", root=phantoms, runs=runs)
    return runs


def _inner(runs: Path) -> RunFolder:
    return RunFolder(runs / "dense-holdout-A+B-seed0" / "lodo" / "dense-holdout-C-seed0")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.name != ".lock")


def test_inner_runs_of_other_masks_are_not_reused(
    interrupted: Path, phantoms: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"exists; continue it with --resume"):
        train(SETTINGS, holdout="A+B", root=phantoms, runs=interrupted)
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    mask = min((data / "Domain3").glob("train/*/mask/*"))
    pixels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(mask), np.roll(pixels, 3, axis=0))
    with pytest.raises(UserError, match=r"lodo.*: fingerprint changed from"):
        train(SETTINGS, holdout="A+B", root=data, runs=interrupted, resume=True)
    runs = Path(shutil.copytree(interrupted, tmp_path / "runs"))
    run = train(SETTINGS, holdout="A+B", root=phantoms, runs=runs, resume=True)
    assert run.is_finished()
    assert _inner(runs).info() == _inner(interrupted).info()  # not trained again


@pytest.mark.parametrize(("steps", "where"), [(2, "after step 1 of 2"), (1, "at the end")])
def test_a_stop_in_an_inner_run_names_the_run_to_continue(
    steps: int, where: str, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = TrainingLoop._show

    def terminate(self: TrainingLoop, engine: Engine, *rest: Any) -> None:
        show(self, engine, *rest)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TrainingLoop, "_show", terminate)
    run = tmp_path / "dense-holdout-A+B-seed0"
    settings = load_settings(None, [*KEYS, f"train.steps_per_epoch={steps}"])
    with pytest.raises(TrainingStopped) as caught:
        train(settings, holdout="A+B", root=phantoms, runs=tmp_path)
    assert str(caught.value) == (
        f"stopped by SIGTERM {where} of the inner run dense-holdout-C-seed0; continue {run} with "
        "--resume"
    )
    assert not (run / "lodo" / "dense-holdout-D-seed0").exists()


def test_a_stop_before_an_inner_run_begins_reaches_it(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = module.prepare

    def terminated(settings: Any, holdout: str, *rest: Any, **options: Any) -> Any:
        if holdout == "C":
            os.kill(os.getpid(), signal.SIGTERM)
        return prepare(settings, holdout, *rest, **options)

    monkeypatch.setattr(module, "prepare", terminated)
    settings = load_settings(None, [*KEYS, "train.steps_per_epoch=2"])
    with pytest.raises(TrainingStopped, match="after step 1 of 2 of the inner run dense-holdout-C"):
        train(settings, holdout="A+B", root=phantoms, runs=tmp_path)


def test_first_weights_may_have_seen_the_sources(phantoms: Path, tmp_path: Path) -> None:
    first = train(
        load_settings(None, [*KEYS, "selection=last", "name=first"]),
        holdout="none", root=phantoms, runs=tmp_path,
    )  # fmt: skip
    settings = load_settings(None, [*KEYS, f"init={first.best}"])
    run = train(settings, holdout="none", root=phantoms, runs=tmp_path)
    assert run.is_finished()
    assert "doubts" not in run.info()


def test_the_folder_is_held_while_inner_runs_train(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: list[str] = []

    def meanwhile(*_: object) -> int:
        with pytest.raises(UserError) as refused:
            train(SETTINGS, holdout="A+B", root=phantoms, runs=tmp_path, overwrite=True)
        other.append(str(refused.value))
        return 1

    monkeypatch.setattr(module, "cross_validate", meanwhile)
    run = train(SETTINGS, holdout="A+B", root=phantoms, runs=tmp_path)
    assert other == [f"{run.path} is being written by another training"]
    assert run.is_finished()


@pytest.mark.parametrize(
    ("holdout", "keys", "device", "why"),
    [("A+B+C", [], None, "needs two source centres"), ("A+B", [], "nonsense", "device"),
     ("A+B", [], None, "no photographs here"),
     ("A+B", ["mix=fourier"], None, "mix needs two source centres or more, three with selection"),
     ("A+B+C", ["mix=fourier", "selection=sources"], None, "mix needs two source centres"),
     ("A+B", ["train.images_per_centre=1"], None, "must hold at least 2 images")],
)  # fmt: skip
def test_overwrite_removes_nothing_where_training_cannot_begin(
    holdout: str, keys: list[str], device: str | None, why: str,
    interrupted: Path, phantoms: Path, tmp_path: Path,
) -> None:  # fmt: skip
    older = tmp_path / f"dense-holdout-{holdout}-seed0"
    shutil.copytree(_inner(interrupted).path, older)
    before = _files(older)
    root = tmp_path / "no photographs here" if "photographs" in why else phantoms
    settings = load_settings(None, [*KEYS, *keys])
    with pytest.raises(UserError, match=why):
        train(settings, holdout=holdout, root=root, runs=tmp_path, device=device, overwrite=True)
    assert _files(older) == before


def test_lodo_needs_centres(tmp_path: Path) -> None:
    settings = load_settings(None, [*KEYS, "phantoms=1"])
    with pytest.raises(UserError, match=r"must be sources or last where .* no centres, got lodo"):
        train(settings, holdout="none", root=None, runs=tmp_path)
    assert not _files(tmp_path)
