import logging

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.integrations.bundle_training import trainer
from tvseg.runs.cards import SegmentationCard


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["train.average=ema", "mixstyle=0.5", "selection=last"],
         "without train.average=ema, mixstyle=0.5, selection=last of"),
        (["mix=fourier", "selection=target"], ""),
    ],
)  # fmt: skip
def test_keys_that_a_bundle_leaves_out_are_named(
    keys: list[str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    card = SegmentationCard(
        settings=load_settings(None, keys), holdout="A", fingerprint="f", epoch=1,
        chosen="last epoch", normalisation=Normalisation(),
    )  # fmt: skip
    loader: DataLoader[object] = DataLoader([0])  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING, "tvseg"):
        trainer(nn.Conv2d(3, 2, 1), loader, card, torch.device("cpu"), 1, 1, 1e-3)
    assert words in caplog.text
    assert bool(words) == bool(caplog.text)
