"""Weights that are validated and kept: averages do what they say, and are taken up again."""

import copy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from torch import nn

from tvseg.config import load_settings
from tvseg.errors import UserError
from tvseg.models.batch_norm import refresh_batch_norm
from tvseg.runs.affinity import affinity_maps, read_course
from tvseg.runs.checkpoint import load_training
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import ScheduleSettings
from tvseg.training import averaging
from tvseg.training import train as train_module
from tvseg.training.averaging import EpochAverage, MeanWithFirst, MovingAverage
from tvseg.training.state import Kept
from tvseg.training.train import train

pytestmark = pytest.mark.usefixtures("narrow_tvconv")

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=2",
        "train.steps_per_epoch=2", "train.images_per_centre=2"]  # fmt: skip


class Steps(nn.Sequential):
    """A network whose weight is set by hand, with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1), nn.Dropout(0.5))

    def set(self, weight: float) -> None:
        with torch.no_grad():
            self[0].weight.fill_(weight)


PLAN = ScheduleSettings(epochs=4, steps_per_epoch=2, drop_at=0.5)


def test_swa_is_the_mean_over_epochs_after_the_drop() -> None:
    network = Steps()
    batch = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    average = EpochAverage(network, plan=PLAN, batches=lambda: iter([batch]))
    found = []
    for step in range(1, 9):
        network.set(step)
        average.update(step)
        found.append(average.network[0].weight.item())  # type: ignore[index]
    assert found[1::2] == [2, 4, 6, 7]  # epochs 1 and 2 end before the drop, 3 and 4 after it
    assert float(average.network[1].running_mean) == 7 * 2  # type: ignore[index]
    assert float(network[1].running_mean) == 0


def test_wise_is_the_mean_of_the_first_weights_and_the_latest() -> None:
    network = Steps()
    network[0].register_buffer("temperature", torch.tensor(30.0))
    network.set(10)
    batch = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    average = MeanWithFirst(network, plan=PLAN, batches=lambda: iter([batch]))
    found = []
    for step in range(1, 5):
        network.set(step)
        network[0].temperature.fill_(step)
        average.update(step)
        found.append(average.network[0].weight.item())  # type: ignore[index]
    assert found == [10, 6, 6, 7]  # an epoch has two steps
    assert float(average.network[1].running_mean) == 7 * 2  # type: ignore[index]
    assert network[0].weight.item() == 4
    assert float(average.network[0].temperature) == 4  # type: ignore[index]
    network.set(20)
    again = MeanWithFirst(network, plan=PLAN, batches=lambda: iter([batch]))
    again.restore(Kept(Path("last.pt"), copy.deepcopy(average.state()), 2))
    again.update(6)
    assert again.network[0].weight.item() == 15  # type: ignore[index]
    with pytest.raises(UserError, match=r"last.pt: its part first is missing or damaged"):
        again.restore(Kept(Path("last.pt"), {"average": average.state()["average"]}, 2))


def test_processes_share_the_statistics_of_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(averaging, "mean_of", lambda value: (value + 10) / 2)  # of two processes
    network = Steps()
    batch = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    average = MeanWithFirst(network, plan=PLAN, batches=lambda: iter([batch]))
    network.set(1)
    average.update(2)
    weight = average.network[0].weight.item()  # type: ignore[index]
    statistics = [average.network[1].running_mean.item(), average.network[1].running_var.item()]  # type: ignore[index]
    assert statistics == pytest.approx([(2 * weight + 10) / 2, (2 * weight**2 + 10) / 2])


def test_ema_moves_by_a_hundredth_of_the_way_after_the_first_steps() -> None:
    network = Steps()
    network[0].register_buffer("temperature", torch.tensor(30.0))
    network.set(1)
    average = MovingAverage(network)
    average.update(1)
    network.set(2)
    network[0].temperature.fill_(1)
    network[1].running_mean.fill_(5)
    average.update(2)
    assert average.network[0].weight.item() == pytest.approx(1 + 9 / 11)  # type: ignore[index]
    assert float(average.network[1].running_mean) == pytest.approx(5 * 9 / 11)  # type: ignore[index]
    assert float(average.network[0].temperature) == 1  # type: ignore[index]
    average.averaged.n_averaged.fill_(2000)
    before = average.network[0].weight.item()  # type: ignore[index]
    network.set(before + 1)
    average.update(2001)
    assert average.network[0].weight.item() == pytest.approx(before + 0.01)  # type: ignore[index]


def test_refreshed_statistics_are_the_batches_and_nothing_else_changes() -> None:
    network = Steps().train()
    before = copy.deepcopy(network.state_dict())
    network.set(1)
    batches = [torch.full((2, 1, 2, 2), 1.0), torch.full((6, 1, 2, 2), 5.0)]
    state = torch.get_rng_state()
    refresh_batch_norm(network, batches)
    assert torch.equal(torch.get_rng_state(), state)  # no dropout
    assert float(network[1].running_mean) == 3  # batches count the same
    assert not any(module.training for module in network.modules())
    assert network[1].momentum == 0.1
    assert torch.equal(network[1].weight, before["1.weight"])


def test_an_average_is_taken_up_from_a_checkpoint() -> None:
    network = Steps()
    first, second = MovingAverage(network), MovingAverage(network)
    for step in range(1, 4):
        network.set(step)
        first.update(step)
    kept = Kept(Path("last.pt"), copy.deepcopy(first.state()), 1)
    second.restore(kept)
    for average in (first, second):
        network.set(9)
        average.update(4)
    one, other = (average.network.state_dict() for average in (first, second))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    with pytest.raises(UserError, match=r"last.pt: its part average is missing or damaged"):
        second.restore(Kept(Path("last.pt"), {}, 1))


@pytest.mark.parametrize(
    "keys",
    [
        ["aspp=dense", "train.average=swa", "train.drop_at=0.5"],
        ["init=starter", "train.steps_per_epoch=2", "train.log_affinity=true"],
    ],
)
def test_an_averaged_training_resumes_bit_for_bit(
    keys: list[str], phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = ["train.epochs=3", "train.steps_per_epoch=1", "selection=last"]
    settings = load_settings(None, [*TINY, *schedule, *keys])
    whole = train(settings, holdout="A", root=phantoms, runs=tmp_path / "whole")
    from tvseg.training import loop

    save = loop.TrainingLoop._save

    def stop(self: loop.TrainingLoop, engine: object) -> None:
        save(self, engine)  # type: ignore[arg-type]
        raise InterruptedError

    monkeypatch.setattr(loop.TrainingLoop, "_save", stop)
    with pytest.raises(InterruptedError):
        train(settings, holdout="A", root=phantoms, runs=tmp_path / "parts")
    monkeypatch.setattr(loop.TrainingLoop, "_save", save)
    parts = train(settings, holdout="A", root=phantoms, runs=tmp_path / "parts", resume=True)
    one, other = (load_network(run.best)[0].state_dict() for run in (whole, parts))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    kept = load_training(whole.last)
    latest = kept["network"]["decoder.fuse.0.weight"]
    assert not torch.equal(one["decoder.fuse.0.weight"], latest)
    for name, first in kept.get("first", {}).items():
        if "running" not in name and first.is_floating_point():
            torch.testing.assert_close(one[name], (first + kept["network"][name]) / 2)
    assert ("first" in kept) == ("init=starter" in keys)
    if settings.train.log_affinity:
        logged = read_course(whole.affinity).maps
        for name, maps in affinity_maps(load_network(whole.best)[0]).items():
            assert np.array_equal(logged[name][-1], maps)  # of what is kept


def test_weights_before_the_first_epoch_ends_are_the_first_ones(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(None, [*TINY, "aspp=depthwise", "init=starter"])
    from tvseg.training import loop

    def stop(self: loop.TrainingLoop, engine: Engine) -> None:
        self._save(engine)
        raise InterruptedError

    monkeypatch.setattr(loop.TrainingLoop, "_stop_in_epoch", stop)
    with pytest.raises(InterruptedError):
        train(settings, holdout="A", root=phantoms, runs=tmp_path)
    run = RunFolder.of(tmp_path, settings, "A")
    begun = load_training(run.last)
    assert not torch.equal(*(begun[key]["decoder.fuse.0.weight"] for key in ("first", "network")))
    last = load_network(run.last)[0].state_dict()
    assert all(torch.equal(value, begun["first"][name]) for name, value in last.items())


def test_statistics_are_of_the_first_steps_in_the_parts_of_a_step(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed: list[list[torch.Tensor]] = []

    def see(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
        refreshed.append([*batches])
        refresh_batch_norm(network, refreshed[-1])

    monkeypatch.setattr(averaging, "refresh_batch_norm", see)
    monkeypatch.setattr(train_module, "REFRESH_IMAGES", 12)
    for parts in (1, 2):
        keys = ["aspp=depthwise", "init=starter", "train.steps_per_epoch=1", f"name=n{parts}"]
        settings = load_settings(None, [*TINY, *keys, f"train.micro_batches={parts}"])
        train(settings, holdout="A", root=phantoms, runs=tmp_path)
    whole, again, in_parts, _ = refreshed
    for batches in (whole, again):  # of 8 images a step: the first 12 and more
        assert [len(images) for images in batches] == [8, 8]
    assert all(map(torch.equal, whole, again))  # in each epoch
    split = [images[part::2] for images in whole for part in range(2)]  # every centre in each
    assert all(map(torch.equal, split, in_parts))
    assert len(in_parts) == 4
