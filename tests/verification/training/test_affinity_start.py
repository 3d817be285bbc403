import numpy as np
import pytest

from tests.verification.conftest import settings
from tvseg.runs.affinity import affinity_maps
from tvseg.verification.network import FaceNetwork
from tvseg.verification.training import affinity_start
from tvseg.verification.training.affinity_start import picture_statistics, start_affinity


def test_statistics_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity_start, "_CHUNK", 3)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 6, 5, 3)).astype(np.uint8)
    found = picture_statistics(pixels)
    assert np.allclose(found[:3], pixels.mean(axis=0).transpose(2, 0, 1))
    assert np.allclose(found[3], pixels.std(axis=0).mean(axis=2))


def test_every_layer_starts_from_the_pictures() -> None:
    network = FaceNetwork(settings("operator=tvconv", "generator.affinity_channels=5"), 3)
    statistics = np.random.default_rng(0).normal(100, 20, (4, 32, 32))
    start_affinity(network, statistics)
    maps = affinity_maps(network)
    assert len(maps) == 17
    for layer in maps.values():
        assert layer.mean(axis=(1, 2)) == pytest.approx(1, abs=1e-5)
        assert layer.std(axis=(1, 2)) == pytest.approx(1, abs=1e-4)
        assert np.array_equal(layer[4], layer[0])
        assert not np.array_equal(layer[1], layer[0])
    first = next(iter(maps.values()))
    assert np.corrcoef(first[2].ravel(), statistics[2].ravel())[0, 1] == pytest.approx(1)


def test_a_colour_without_change_stays_at_one() -> None:
    network = FaceNetwork(settings("operator=tvconv"), 3)
    start_affinity(network, np.full((4, 32, 32), 7.0))
    assert all((layer == 1).all() for layer in affinity_maps(network).values())


def test_settings_shape_the_generator() -> None:
    keys = ["affinity_channels=2", "hidden_channels=8", "hidden_layers=1"]
    chosen = settings("operator=tvconv", "stages=[7]", *(f"generator.{key}" for key in keys))
    layers = [m for m in FaceNetwork(chosen, 3).modules() if type(m).__name__ == "TVConv2d"]
    assert [len(layer.affinity) for layer in layers] == [2]
    convolutions = [m for m in layers[0].generator.layers if type(m).__name__ == "Conv2d"]
    assert [conv.in_channels for conv in convolutions] == [2, 8, 8]
