"""First affinity maps of a network that begins with trained weights, and keys without effect."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tvseg.config import load_settings
from tvseg.errors import UserError
from tvseg.runs.affinity import affinity_maps, fill_affinity
from tvseg.training.affinity_start import coordinate_maps
from tvseg.training.averaging import check_average
from tvseg.training.prepare import prepare

KEYS = ["encoder_weights=none", "image_size=64", "precision=fp32"]


@pytest.mark.parametrize(
    ("key", "wanted"),
    [("affinity_start=coordinates", 0), ("affinity_noise=0.1", 7), ("affinity_rate=2", 7)],
)
def test_maps_are_set_after_first_weights_are_loaded(
    key: str, wanted: float, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_sevens(first: object, network: nn.Module, settings: object) -> int:
        fill_affinity(network, lambda maps: torch.full_like(maps, 7))
        return 0

    monkeypatch.setattr("tvseg.runs.first.FirstWeights.load_into", load_sevens)
    settings = load_settings(None, [*KEYS, "init=starter", f"tvconv.{key}"])
    network, *_ = prepare(settings, "A", phantoms, torch.device("cpu"), begins=True)
    for maps in affinity_maps(network).values():
        if wanted == 7:
            assert maps.mean() == pytest.approx(7, abs=0.05)
            assert maps.std() == pytest.approx(0.1 * ("noise" in key), abs=0.03)
        else:
            assert np.array_equal(maps, coordinate_maps(maps.shape).numpy())


def test_keys_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="average=swa needs epochs after the drop"):
        load_settings(None, ["train.average=swa", "train.drop_at=1"])
    for keys in (["train.epochs=4"], ["train.epochs=1"]):
        settings = load_settings(None, ["train.average=swa", *keys])  # of a run that is there
        with pytest.raises(UserError, match="average=swa needs at least two epochs that end after"):
            check_average(settings.train)
    kept = load_settings(None, ["train.average=swa", "train.epochs=4", "train.drop_at=0.5"])
    check_average(kept.train)
    with pytest.raises(UserError, match="mix recolours photographs"):
        load_settings(None, ["mix=fourier", "phantoms=1"])
    assert load_settings(None, ["mix=fourier", "phantoms=0.5"]).mix == "fourier"
