"""The record of affinity maps over a training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from tvseg.config import load_settings
from tvseg.ops import TVConv2d
from tvseg.runs.affinity import affinity_maps, read_course, record_affinity
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import SegmentationSettings
from tvseg.training import loop as loop_module
from tvseg.training.train import train

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


def _settings(*overrides: str) -> SegmentationSettings:
    tiny = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=2",
            "train.steps_per_epoch=2", "train.images_per_centre=2"]  # fmt: skip
    return load_settings(None, [*tiny, "train.log_affinity=true", *overrides])


@pytest.fixture(scope="module")
def interrupted(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was killed in its second epoch, after that epoch's maps were kept, and resumed."""
    runs = tmp_path_factory.mktemp("runs")

    save = loop_module.save_training

    def killed(path: Path, network: nn.Module, card: Any, *rest: Any, **kept: Any) -> None:
        if card.epoch == 2:
            raise KeyboardInterrupt
        save(path, network, card, *rest, **kept)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop_module, "save_training", killed)
        with pytest.raises(KeyboardInterrupt):
            train(_settings(), holdout="A", root=phantoms, runs=runs)
    run = RunFolder(runs / "tvconv-holdout-A-seed0")
    assert read_course(run.affinity).epochs.tolist() == [0, 1, 2]
    maps = {name: values + 9 for name, values in _last(run).items()}
    record_affinity(run.affinity, 2, maps)  # of the epoch without a checkpoint: must give way
    return train(_settings(), holdout="A", root=phantoms, runs=runs, resume=True)


def _last(run: RunFolder) -> dict[str, np.ndarray]:
    return {name: maps[-1] for name, maps in read_course(run.affinity).maps.items()}


def test_the_start_and_every_epoch_are_kept_once_over_an_interruption(
    interrupted: RunFolder,
) -> None:
    course = read_course(interrupted.affinity)
    assert course.epochs.tolist() == [0, 1, 2]
    assert len(course.maps) == 3
    for maps in course.maps.values():
        assert maps.shape == (3, 4, 4, 4)
        assert (maps[0] == 1).all()
        assert maps[1].std() > 0


def test_the_last_maps_are_those_of_the_last_checkpoint(interrupted: RunFolder) -> None:
    network, _ = load_network(interrupted.last)
    expected, kept = affinity_maps(network), _last(interrupted)
    assert list(kept) == list(expected)  # the file itself keeps no order
    assert all(np.array_equal(kept[name], expected[name]) for name in expected)


def test_a_network_without_tvconv_cannot_be_watched(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"log_affinity needs TVConv layers; aspp=dense has none"):
        train(_settings("aspp=dense"), holdout="A", root=phantoms, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_watching_makes_no_other_run(tmp_path: Path) -> None:
    run = RunFolder.of(tmp_path, _settings(), "A")
    run.begin(_settings(), {}, holdout="A", seed=0, fingerprint="f")
    run.check_free(_settings("train.log_affinity=false"), resume=True)
    with pytest.raises(ValueError, match="other settings"):
        run.check_free(_settings("train.epochs=3"), resume=True)


def test_an_epoch_that_is_recorded_again_replaces_itself_and_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "affinity.safetensors"
    for epoch in (0, 1, 2, 3):
        record_affinity(path, epoch, {"a": np.full((2, 3, 4), epoch, np.float32)})
    record_affinity(path, 2, {"a": np.full((2, 3, 4), 9, np.float32)})
    course = read_course(path)
    assert course.epochs.tolist() == [0, 1, 2]
    assert course.maps["a"][:, 0, 0, 0].tolist() == [0, 1, 9]


def test_a_record_of_other_layers_or_a_damaged_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "affinity.safetensors"
    maps = affinity_maps(nn.Sequential(TVConv2d(2, 4, hidden_layers=0)))
    record_affinity(path, 0, maps)
    with pytest.raises(ValueError, match="must hold maps of this network"):
        record_affinity(path, 1, {"other": maps["0"]})
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="must be a record of affinity maps"):
        read_course(path)
