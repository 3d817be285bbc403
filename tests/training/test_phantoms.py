from pathlib import Path

import pytest
import torch

from tvseg.config import load_settings
from tvseg.localizer.checkpoint import load_localizer
from tvseg.localizer.train import DRAWN_FRAMING, LocalizerPlan, train_localizer
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import SegmentationSettings
from tvseg.training import data as data_module
from tvseg.training.data import check_shares, images_per_step, make_loader, read_data
from tvseg.training.train import train

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=2",
        "train.steps_per_epoch=2", "train.images_per_centre=2", "aspp=depthwise"]  # fmt: skip


def _settings(*overrides: str) -> SegmentationSettings:
    return load_settings(None, [*TINY, *overrides])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_module, "SELECTION_PHANTOMS", 4)
        runs = tmp_path_factory.mktemp("phantoms-only")
        return train(_settings("phantoms=1"), holdout="none", root=None, runs=runs)


def test_a_training_on_phantoms_needs_no_data(run: RunFolder) -> None:
    _, card = load_network(run.best)
    assert card.settings.phantoms == 1
    assert card.chosen == "selected on phantoms"
    assert run.info()["data"] is None
    assert len(run.read_metrics()) == 2


def test_worker_processes_draw_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "SELECTION_PHANTOMS", 2)
    batches = []
    for workers in (0, 2):
        settings = _settings("phantoms=1", f"train.workers={workers}")
        data = read_data(
            None, settings, "none", selection="sources"
        )  # draws in this process before the fork
        batches.append([batch["image"] for batch in make_loader(data, settings, first_step=0)])
    assert len(batches[0]) == 4
    assert all(torch.equal(one, other) for one, other in zip(*batches, strict=True))


def test_phantoms_are_a_share_of_each_step(phantoms: Path) -> None:
    settings = _settings("phantoms=0.25")
    data = read_data(phantoms, settings, "A", selection="sources")
    assert images_per_step(settings, 3) == 8  # 2 of each of three centres and 2 phantoms
    for batch in make_loader(data, settings, first_step=2):
        drawn = [name for name in batch["id"] if name.startswith("phantom/")]
        assert (len(batch["id"]), len(drawn)) == (8, 2)


@pytest.mark.parametrize(
    ("overrides", "root", "holdout", "message"),
    [
        (["phantoms=1"], None, "A", "needs phantoms=1 and --holdout none"),
        (["phantoms=0.5"], None, "none", "needs phantoms=1 and --holdout none"),
        (
            ["phantoms=1", "structures=[fovea]", "encoding={0: [fovea], 255: []}"],
            None,
            "none",
            "cup and disc alone",
        ),
    ],
)
def test_what_phantoms_cannot_do_is_refused(
    overrides: list[str], root: Path | None, holdout: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_data(root, _settings(*overrides), holdout, selection="sources")


def test_a_share_without_a_phantom_is_refused(phantoms: Path) -> None:
    settings = _settings("phantoms=0.05")
    data = read_data(phantoms, settings, "A", selection="sources")
    with pytest.raises(ValueError, match=r"photographs of a step \(6\): raise phantoms"):
        check_shares(settings, data)
    with pytest.raises(ValueError, match="phantoms=1 trains on drawn photographs alone"):
        check_shares(_settings("phantoms=1"), data)


def test_a_localizer_of_a_run_on_phantoms_sees_drawn_photographs(run: RunFolder) -> None:
    plan = LocalizerPlan(steps=2, calibration_steps=12, drawn_per_step=4, image_size=64)
    card = train_localizer(run, root=None, plan=plan)
    assert card == load_localizer(run.localizer)[1]
    assert card.framing == DRAWN_FRAMING
