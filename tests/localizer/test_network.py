import numpy as np
import pytest
import torch

from tvseg.localizer.network import LocalizerNetwork
from tvseg.localizer.sighting import STRIDE, sight
from tvseg.models import build_model


def _map(row: int, col: int, radius: float, level: float, side: int = 32) -> np.ndarray:
    """Logits (1, side, side): ``level`` in a round spot, -6 elsewhere."""
    rows, cols = np.indices((side, side))
    inside = (rows - row) ** 2 + (cols - col) ** 2 <= radius**2
    return np.where(inside, level, -6.0)[None].astype(np.float32)


def test_a_spot_is_seen_where_it_is_and_as_large_as_it_is() -> None:
    logits = np.stack([_map(8, 20, 4.2, 5.0), _map(25, 6, 3.2, 3.0)])
    first, second = sight(logits)
    for sighting, row, col, cells in ((first, 8, 20, 9), (second, 25, 6, 7)):
        assert sighting.row == pytest.approx((row + 0.5) * STRIDE - 0.5, abs=1)
        assert sighting.col == pytest.approx((col + 0.5) * STRIDE - 0.5, abs=1)
        assert sighting.diameter_px == pytest.approx(cells * STRIDE, abs=STRIDE)
    assert first.score == pytest.approx(5.0)
    assert second.score == pytest.approx(3.0)


def test_the_highest_of_two_spots_is_seen() -> None:
    both = np.maximum(_map(8, 8, 4, 2.0), _map(22, 22, 3, 4.0))
    (sighting,) = sight(both[None])
    assert sighting.row == pytest.approx(22.5 * STRIDE - 0.5, abs=1)
    assert sighting.diameter_px < 9 * STRIDE


def test_an_even_map_is_one_spot_of_a_low_score() -> None:
    (sighting,) = sight(np.full((1, 1, 8, 8), -5.0, np.float32))
    assert sighting.score == pytest.approx(-5.0)
    assert sighting.diameter_px == 8 * STRIDE


def test_the_encoder_of_a_run_fits_and_stays_as_it_is() -> None:
    segmenter = build_model(aspp="dense", image_size=64)
    network = LocalizerNetwork("mobilenet_v2_320")
    network.encoder.load_state_dict(segmenter.encoder.state_dict())
    network.train()
    logits = network(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 1, 16, 16)
    logits.sum().backward()
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert trained == {"decoder", "segmentation_head"}
    before, after = segmenter.encoder.state_dict(), network.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # batch norm included


def test_an_unknown_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder must be one of"):
        LocalizerNetwork("mobilenet_v9")
