import logging

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.integrations.bundle_training import trainer
from tvseg.runs.cards import SegmentationCard


def card_of(keys: list[str]) -> SegmentationCard:
    return SegmentationCard(
        settings=load_settings(None, keys), holdout="A", fingerprint="f", epoch=1,
        chosen="last epoch", normalisation=Normalisation(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["train.average=ema", "mixstyle=0.5", "selection=last"],
         "without train.average=ema, mixstyle=0.5, selection=last of"),
        ([], "without train.average=wise of"),
        (["mix=fourier", "selection=target", "train.average=none"], ""),
    ],
)  # fmt: skip
def test_keys_that_a_bundle_leaves_out_are_named(
    keys: list[str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    loader: DataLoader[object] = DataLoader([0])  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "tvseg"):
        trainer(nn.Conv2d(3, 2, 1), loader, card_of(keys), torch.device("cpu"), 1, 1, 1e-3)
    assert words in caplog.text
    assert bool(words) == bool(caplog.text)


def test_a_step_is_computed_in_the_parts_of_the_network_s_training() -> None:
    image, label = torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(2, 8, 8, dtype=torch.uint8)
    batch = [{"image": image, "label": label, "id": "x"}] * 4
    loader: DataLoader[object] = DataLoader(batch, batch_size=4)  # type: ignore[arg-type]
    network, parts = nn.Conv2d(3, 2, 1), []
    network.register_forward_hook(lambda module, inputs, maps: parts.append(len(maps)))
    card = card_of(["train.micro_batches=2"])
    trainer(network, loader, card, torch.device("cpu"), 1, 1, 1e-3).run()
    assert parts == [2, 2]
