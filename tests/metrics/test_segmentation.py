"""The metrics against loops over all pairs of pixels, by hand, and at their edges."""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pytest

from tvseg import metrics
from tvseg.evaluation import metrics as public
from tvseg.metrics import (
    asd,
    assd,
    dice,
    hd,
    hd95,
    surface_dice,
    surface_distances,
    vcdr,
)
from tvseg.metrics.checks import Mask

pytestmark = pytest.mark.filterwarnings("error")  # no 0 / 0 on the way to a nan

EXACT = 1e-12
TOLERANCE_PX = 1.5

PAIR_METRICS: dict[str, Callable[[Mask, Mask], float]] = {
    "dice": dice,
    "hd": hd,
    "hd95": hd95,
    "asd": asd,
    "assd": assd,
    "surface_dice": lambda p, t: surface_dice(p, t, tolerance_px=TOLERANCE_PX),
    "vcdr": vcdr,
    "surface_distances": lambda p, t: float(surface_distances(p, t).forward_px.sum()),
}
DISTANCES = ("hd", "hd95", "asd", "assd")


def loop_surface(mask: Mask) -> list[tuple[int, int]]:
    """Pixels of the mask with a 4-neighbour that is background or beyond the border."""
    height, width = mask.shape

    def inside(row: int, col: int) -> bool:
        return 0 <= row < height and 0 <= col < width and bool(mask[row, col])

    return [
        (row, col)
        for row in range(height)
        for col in range(width)
        if inside(row, col)
        and not all(
            inside(row + down, col + right) for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))
        )
    ]


def loop_distances(mask: Mask, other: Mask) -> list[float]:
    """Distance of each surface pixel of the mask to the nearest one of the other."""
    return [
        min(math.dist(here, there) for there in loop_surface(other)) for here in loop_surface(mask)
    ]


def loop_percentile(values: list[float], percent: float) -> float:
    """Percentile with linear interpolation between the two nearest ranks."""
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def tiny_pairs(count: int) -> list[tuple[Mask, Mask]]:
    """Pairs of 1x1 to 9x12, sparse to full, no mask empty."""
    rng = np.random.default_rng(3)
    pairs: list[tuple[Mask, Mask]] = []
    while len(pairs) < count:
        shape = (int(rng.integers(1, 10)), int(rng.integers(1, 13)))
        first, second = (rng.random(shape) < rng.choice([0.05, 0.4, 0.9, 1.0]) for _ in range(2))
        if first.any() and second.any():
            pairs.append((first, second))
    return pairs


@pytest.fixture
def ring() -> Mask:
    mask = np.zeros((12, 9), dtype=bool)
    mask[2:9, 1:7] = True
    mask[4:6, 3:5] = False
    return mask


def test_distances_equal_loops_over_all_pixels() -> None:
    for prediction, truth in tiny_pairs(120):
        forward = loop_distances(prediction, truth)
        backward = loop_distances(truth, prediction)
        within = sum(distance <= TOLERANCE_PX for distance in forward + backward)
        expected = {
            "hd": max(forward + backward),
            "hd95 max": max(loop_percentile(forward, 95), loop_percentile(backward, 95)),
            "hd95 pooled": loop_percentile(forward + backward, 95),
            "asd": sum(forward) / len(forward),
            "assd": sum(forward + backward) / len(forward + backward),
            "surface_dice": within / len(forward + backward),
        }
        got = {
            "hd": hd(prediction, truth),
            "hd95 max": hd95(prediction, truth),
            "hd95 pooled": hd95(prediction, truth, rule="pooled"),
            "asd": asd(prediction, truth),
            "assd": assd(prediction, truth),
            "surface_dice": surface_dice(prediction, truth, tolerance_px=TOLERANCE_PX),
        }
        assert got == pytest.approx(expected, abs=EXACT)
        distances = surface_distances(prediction, truth)
        np.testing.assert_allclose(distances.forward_px, forward, rtol=0, atol=EXACT)
        np.testing.assert_allclose(distances.backward_px, backward, rtol=0, atol=EXACT)


def test_counts_equal_loops_over_all_pixels() -> None:
    for first, second in tiny_pairs(60):
        both = [(bool(a), bool(b)) for a, b in zip(first.flat, second.flat, strict=True)]
        common = sum(a and b for a, b in both)
        total = sum(a + b for a, b in both)
        assert dice(first, second) == pytest.approx(2 * common / total, abs=EXACT)
        assert dice(first, second, smooth=1) == pytest.approx(
            (2 * common + 1) / (total + 1), abs=EXACT
        )
        columns = [max(sum(map(bool, col)) for col in mask.T) for mask in (first, second)]
        rows = [[row for row, line in enumerate(mask) if any(line)] for mask in (first, second)]
        heights = [lines[-1] - lines[0] + 1 for lines in rows]
        assert vcdr(first, second) == pytest.approx(columns[0] / columns[1], abs=EXACT)
        assert vcdr(first, second, rule="box") == pytest.approx(heights[0] / heights[1], abs=EXACT)


def test_hd95_rules_part_on_a_disc_with_a_speck() -> None:
    row, col = np.indices((200, 200))
    truth = np.hypot(row - 100, col - 100) <= 30
    prediction = truth.copy()
    prediction[94:106, 188] = True  # 12 surface pixels beside 168: 7 % of one set, 3 % of both
    assert hd95(prediction, truth, rule="max") == pytest.approx(58.0, abs=0.2)
    assert hd95(prediction, truth, rule="pooled") == 0.0


def test_asd_runs_from_prediction_to_truth() -> None:
    truth = np.zeros((5, 20), dtype=bool)
    truth[2, 3] = True
    prediction = truth.copy()
    prediction[2, 13] = True
    assert asd(prediction, truth) == 5.0
    assert asd(truth, prediction) == 0.0
    assert assd(prediction, truth) == assd(truth, prediction) == pytest.approx(10 / 3)


def test_pixels_on_the_image_border_are_surface() -> None:
    full, centre = np.ones((7, 7), dtype=bool), np.zeros((7, 7), dtype=bool)
    centre[3, 3] = True
    distances = surface_distances(full, centre)
    assert distances.forward_px.shape == (24,)
    assert distances.forward_px.min() == 3.0
    assert distances.hd() == pytest.approx(math.sqrt(18))


def test_the_rim_of_a_hole_is_surface(ring: Mask) -> None:
    filled = ring.copy()
    filled[4:6, 3:5] = True
    assert surface_distances(ring, filled).forward_px.size == len(loop_surface(filled)) + 8
    assert hd(ring, filled) == 2.0
    assert asd(filled, ring) == 0.0


def test_tolerance_itself_counts_as_agreement() -> None:
    truth, prediction = np.zeros((2, 6, 6), dtype=bool)
    truth[1, 1] = prediction[4, 5] = True  # 5 px apart
    assert surface_dice(prediction, truth, tolerance_px=5) == 1.0
    assert surface_dice(prediction, truth, tolerance_px=4.999) == 0.0


def test_identical_masks_are_perfect(ring: Mask) -> None:
    assert dice(ring, ring) == surface_dice(ring, ring, tolerance_px=0) == vcdr(ring, ring) == 1.0
    assert [PAIR_METRICS[name](ring, ring) for name in DISTANCES] == [0.0] * 4


def test_cup_beyond_the_disc_is_not_clipped(ring: Mask) -> None:
    assert vcdr(np.ones_like(ring), ring) == pytest.approx(12 / 7)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_nan_when_a_mask_is_empty(name: str, ring: Mask) -> None:
    empty = np.zeros_like(ring)
    for prediction, truth in ((empty, empty), (empty, ring), (ring, empty)):
        assert math.isnan(PAIR_METRICS[name](prediction, truth))
    assert math.isnan(hd95(ring, empty, rule="pooled"))


@pytest.mark.parametrize("name", ["dice", "surface_dice"])
def test_overlaps_are_nan_for_two_empty_masks_and_0_for_one(name: str, ring: Mask) -> None:
    empty = np.zeros_like(ring)
    assert math.isnan(PAIR_METRICS[name](empty, empty))
    assert PAIR_METRICS[name](empty, ring) == PAIR_METRICS[name](ring, empty) == 0.0


def test_smoothed_dice_is_the_formula_for_empty_masks(ring: Mask) -> None:
    empty = np.zeros_like(ring)
    assert dice(empty, empty, smooth=1) == 1.0
    assert dice(empty, ring, smooth=1) == dice(ring, empty, smooth=1) == 1 / (38 + 1)


@pytest.mark.parametrize("rule", ["columns", "box"])
def test_vcdr_is_nan_without_disc_and_0_without_cup(
    rule: Literal["columns", "box"], ring: Mask
) -> None:
    empty = np.zeros_like(ring)
    assert math.isnan(vcdr(empty, empty, rule=rule))
    assert math.isnan(vcdr(ring, empty, rule=rule))
    assert vcdr(empty, ring, rule=rule) == 0.0


def test_empty_sets_of_distances_lead_to_infinity(ring: Mask) -> None:
    distances = surface_distances(ring, np.zeros_like(ring))
    assert distances.backward_px.size == 0
    assert distances.forward_px.size == len(loop_surface(ring))
    assert np.isinf(distances.forward_px).all()


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_arrays_without_pixels_are_empty_masks(shape: tuple[int, int]) -> None:
    nothing = np.zeros(shape, dtype=bool)
    assert all(math.isnan(PAIR_METRICS[name](nothing, nothing)) for name in (*DISTANCES, "vcdr"))


# the vertical ratio is meant to change when rows and columns swap
@pytest.mark.parametrize("name", [name for name in PAIR_METRICS if name != "vcdr"])
def test_transposing_and_shifting_both_masks_changes_nothing(name: str, ring: Mask) -> None:
    metric, other = PAIR_METRICS[name], np.roll(ring, 2, axis=0) & ~np.roll(ring, 1, axis=1)
    value = metric(ring, other)
    transposed = np.asfortranarray(ring).T, other.T
    padded = np.pad(ring, ((3, 0), (7, 2))), np.pad(other, ((3, 0), (7, 2)))
    assert metric(*transposed) == pytest.approx(value, abs=EXACT)
    assert metric(*padded) == pytest.approx(value, abs=EXACT)


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_strided_views_are_read_right_and_inputs_are_left_alone(name: str, ring: Mask) -> None:
    channels = np.stack([ring, np.roll(ring, 1, axis=0)], axis=-1)
    channels.setflags(write=False)
    prediction, truth = channels[..., 0], channels[..., 1]
    metric = PAIR_METRICS[name]
    assert metric(prediction, truth) == metric(prediction.copy(), truth.copy())


@pytest.mark.parametrize("name", PAIR_METRICS)
@pytest.mark.parametrize(
    ("second", "arrived"),
    [
        (np.ones((12, 9), dtype=np.uint8), r"shape \(12, 9\) and dtype uint8"),
        (np.ones((1, 12, 9), dtype=bool), r"shape \(1, 12, 9\) and dtype bool"),
        ([[True]], "a list"),
        (np.ones((9, 12), dtype=bool), r"same shape, got \(12, 9\) and \(9, 12\); resize"),
    ],
)
def test_wrong_arrays_are_refused_by_name(
    name: str, second: Mask, arrived: str, ring: Mask
) -> None:
    with pytest.raises(ValueError, match=arrived) as error:
        PAIR_METRICS[name](ring, second)
    assert ("disc" if name == "vcdr" else "truth") in str(error.value)


def test_the_first_array_is_checked_too(ring: Mask) -> None:
    for name, metric in PAIR_METRICS.items():
        expected = "cup" if name == "vcdr" else "prediction"
        with pytest.raises(ValueError, match=f"{expected} must be a 2-D numpy array of dtype bool"):
            metric(ring.astype(float), ring)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_smoothing_and_tolerance_must_be_finite_and_not_negative(bad: float, ring: Mask) -> None:
    with pytest.raises(ValueError, match=f"smooth must be .* got {bad}"):
        dice(ring, ring, smooth=bad)
    with pytest.raises(ValueError, match=f"tolerance_px must be .* got {bad}"):
        surface_dice(ring, ring, tolerance_px=bad)


def test_unknown_rules_list_the_known_ones(ring: Mask) -> None:
    with pytest.raises(ValueError, match="one of max, pooled, got 'mean'"):
        hd95(ring, ring, rule="mean")  # type: ignore[arg-type]  # the error is the point
    with pytest.raises(ValueError, match="one of columns, box, got 'rows'"):
        vcdr(ring, ring, rule="rows")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one of max, pooled"):  # also where the value is nan
        hd95(ring, np.zeros_like(ring), rule="mean")  # type: ignore[arg-type]


def test_the_public_names_are_those_of_the_metrics() -> None:
    for name in ("dice", "hd", "hd95", "asd", "assd", "surface_dice", "vcdr"):
        assert getattr(public, name) is getattr(metrics, name)
