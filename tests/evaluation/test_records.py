import math

import numpy as np
import pytest

from tvseg.evaluation.protocols import PROTOCOLS, find_protocol
from tvseg.evaluation.records import score

HONEST, PAPER = PROTOCOLS["honest"], PROTOCOLS["paper"]


def _square(top: int, left: int, side: int, *, size: int = 100) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_distances_are_told_at_800_px() -> None:
    truth, prediction = _square(20, 20, 40), _square(20, 23, 40)
    for size in (100, 400):
        k = size // 100
        p, t = (np.kron(mask, np.ones((k, k), bool)).astype(bool) for mask in (prediction, truth))
        (row,) = score(p[None], t[None], ("disc",), HONEST)
        assert row["hd95_px"] == pytest.approx(3 * 8)
        assert row["dice"] == pytest.approx(37 / 40)


@pytest.mark.parametrize(("protocol", "charge"), [(HONEST, 800 * math.sqrt(2)), (PAPER, 100.0)])
def test_a_missed_structure_is_charged_and_counted(protocol: object, charge: float) -> None:
    truth, nothing = _square(20, 20, 40), np.zeros((100, 100), bool)
    missed, spurious = (
        score(np.stack([p]), np.stack([t]), ("disc",), protocol)[0]  # type: ignore[arg-type]
        for p, t in ((nothing, truth), (truth, nothing))
    )
    for row in (missed, spurious):
        assert row["hd95_px"] == row["hd_px"] == row["assd_px"] == pytest.approx(charge)
        assert row["dice"] == pytest.approx(0, abs=1e-3)
    assert (missed["missed"], missed["spurious"]) == (True, False)
    assert (spurious["missed"], spurious["spurious"]) == (False, True)


def test_the_diagonal_is_the_images_own() -> None:
    truth = np.ones((1, 300, 400), bool)
    (row,) = score(np.zeros_like(truth), truth, ("disc",), HONEST)
    assert row["hd95_px"] == pytest.approx(500 * 2)


def test_a_structure_that_neither_has_is_left_out() -> None:
    nothing = np.zeros((1, 9, 9), bool)
    (row,) = score(nothing, nothing, ("disc",), HONEST)
    assert all(math.isnan(float(str(row[name]))) for name in ("dice", "hd95_px", "assd_px"))
    assert not row["missed"]
    assert not row["spurious"]


def test_the_protocols_differ_in_smoothing_and_percentile() -> None:
    truth, speck = _square(20, 20, 40), _square(20, 20, 40)
    speck[90, 90] = True
    honest, paper = (score(speck[None], truth[None], ("disc",), p)[0] for p in (HONEST, PAPER))
    assert honest["dice"] == pytest.approx(2 * 1600 / 3201)
    assert paper["dice"] == pytest.approx((2 * 1600 + 1) / (3201 + 1))
    assert honest["hd95_px"] == paper["hd95_px"] == 0  # the speck is one of 157 surface pixels
    assert honest["hd_px"] == pytest.approx(8 * math.hypot(31, 31))
    assert HONEST.hd95_rule == "max"
    assert PAPER.hd95_rule == "pooled"
    assert (PAPER.postprocessing.threshold, PAPER.grid_px) == (0.75, 800)


def test_channels_keep_their_names() -> None:
    cup, disc = _square(30, 30, 10), _square(20, 20, 40)
    rows = score(np.stack([cup, disc]), np.stack([cup, disc]), ("cup", "disc"), HONEST)
    assert [(row["structure"], row["true_area_px"]) for row in rows] == [
        ("cup", 100),
        ("disc", 1600),
    ]


def test_an_unknown_protocol_lists_the_options() -> None:
    with pytest.raises(ValueError, match="honest, paper, got 'fair'"):
        find_protocol("fair")
