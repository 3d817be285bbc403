"""The training step: its parts add up to the whole."""

import copy

import pytest
import torch
from torch import nn

from tvseg.data.normalisation import Normalisation
from tvseg.ops import TVConv2d, WeightGenerator
from tvseg.settings import ScheduleSettings
from tvseg.training.fit import Numerics, drop_once, make_optimizer, make_trainer

PLAN = ScheduleSettings(epochs=1, steps_per_epoch=2, drop_at=1.0)


def network() -> nn.Sequential:
    """Without batch norm and dropout, which see the parts of a step one by one."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), TVConv2d(4, 8, hidden_channels=4), nn.Conv2d(4, 2, 1)
    )
    nn.init.normal_(layers[1].affinity)
    return layers


def batch() -> dict[str, object]:
    """Images of three centres, one after the other, as they are drawn."""
    generator = torch.Generator().manual_seed(1)
    return {
        "image": torch.randint(256, (12, 3, 8, 8), dtype=torch.uint8, generator=generator),
        "label": torch.randint(2, (12, 2, 8, 8), dtype=torch.uint8, generator=generator),
        "id": [f"image {number}" for number in range(12)],
    }


def fit(model: nn.Module, micro_batches: int) -> dict[str, object]:
    """Train for two steps of plain gradient descent; the last step's output."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = make_trainer(
        model,
        [batch(), batch()],
        loss=nn.functional.binary_cross_entropy_with_logits,
        optimizer=optimizer,
        rate=drop_once(PLAN),
        numerics=Numerics(torch.device("cpu"), None, Normalisation()),
        epochs=PLAN.epochs,
        steps_per_epoch=PLAN.steps_per_epoch,
        micro_batches=micro_batches,
    )
    trainer.run()
    return dict(trainer.state.output)


@pytest.mark.parametrize("micro_batches", [2, 4, 5])  # the last makes parts of 3, 3, 2, 2, 2
def test_parts_of_a_step_add_up_to_it(micro_batches: int) -> None:
    whole, parted = network(), network()
    start = copy.deepcopy(whole)
    wanted, given = fit(whole, 1), fit(parted, micro_batches)
    torch.testing.assert_close(given["loss"], wanted["loss"])
    assert given["id"] == wanted["id"]
    for before, ours, theirs in zip(
        start.parameters(), parted.parameters(), whole.parameters(), strict=True
    ):
        assert not torch.equal(before, theirs)
        torch.testing.assert_close(ours, theirs)


def test_parts_hold_as_many_images_of_each_centre_and_share_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, seen, runs = network(), [], []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    generate = WeightGenerator._generate
    monkeypatch.setattr(
        WeightGenerator,
        "_generate",
        lambda self, affinity: runs.append(self) or generate(self, affinity),
    )
    fit(model, 2)
    images = Normalisation()(batch()["image"])
    assert len(seen) == 2 * 2
    assert torch.equal(seen[0], images[[0, 2, 4, 6, 8, 10]])
    assert torch.equal(seen[1], images[[1, 3, 5, 7, 9, 11]])
    assert len(runs) == 2  # once a step


def test_adam_is_the_published_one() -> None:
    (group,) = make_optimizer(network(), 1e-3).param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1e-3, (0.9, 0.99), 0)
