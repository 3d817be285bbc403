"""Variances against values worked out by hand, and against shuffled pictures."""

import operator
from functools import reduce

import numpy as np
import pytest

from tvseg.evaluation.analysis.variances import FeatureSums, Variances


def _variances(features: np.ndarray) -> Variances:
    """Return variances from the sums of unequal parts."""
    sums = FeatureSums.of(features[:1])
    for part in np.array_split(features[1:], 2):
        sums = sums + FeatureSums.of(part) if len(part) else sums
    return sums.variances()


@pytest.mark.parametrize("parts", [(1,), (1, 2), (5, 6, 7)])
def test_parts_give_the_variances_of_the_whole(parts: tuple[int, ...]) -> None:
    """After numpy's own variances of all pictures at once."""
    rng = np.random.default_rng(3)
    features = 1e4 + rng.normal(size=(9, 1, 2, 3)) + np.arange(9.0)[:, None, None, None]
    pieces = [FeatureSums.of(part) for part in np.split(features, parts)]
    found = reduce(operator.add, pieces).variances()
    intra = features.var(axis=(2, 3)).mean()
    total = intra + features.mean(axis=(2, 3)).var(ddof=1)
    assert found.intra == pytest.approx(intra / total)
    assert found.cross_map == pytest.approx(features.var(axis=0, ddof=1)[0] / total)


def test_equal_pictures_do_not_vary_at_a_position() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(9, size=(1, 5, 4, 6)).astype(np.float32)  # whole: means are exact
    found = _variances(np.repeat(picture, 3, axis=0))
    assert found.cross == 0
    assert found.intra == pytest.approx(1)
    assert found.ratio == float("inf")


def test_constant_pictures_do_not_vary_within() -> None:
    values = np.array([1.0, 2.0, 6.0])[:, None, None, None]
    found = _variances(np.broadcast_to(values, (3, 2, 4, 6)))
    assert found.intra == 0
    assert found.cross == pytest.approx(1)
    assert found.ratio == 0


def test_a_toy_worked_out_by_hand() -> None:
    """Two pictures of 1 x 2 positions: (0, 4) and (2, 10).

    Within: variances 4 and 16, mean 10. Between: (0, 2) gives 2, (4, 10) gives 18, mean 10. Means 2
    and 6 vary by 8, so the total is 18.
    """
    one = np.array([[0.0, 4.0], [2.0, 10.0]])[:, None, None, :]
    found = _variances(one)
    assert found.intra == pytest.approx(10 / 18)
    assert found.cross == pytest.approx(10 / 18)
    assert found.cross_map == pytest.approx(np.array([[2 / 18, 18 / 18]]))


def test_channels_count_alike_whatever_their_scale_and_constant_ones_do_not_count() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(6, 3, 4, 5))
    features[:, 1] = features[:1, 1]  # equal pictures in this channel alone
    plain = _variances(features)
    scaled = features * np.array([1e-3, 1.0, 1e3])[:, None, None] + 7
    constant = np.full((6, 1, 4, 5), 0.1)
    found = _variances(np.concatenate([scaled, constant], axis=1))
    assert found.cross == pytest.approx(plain.cross)
    assert found.intra == pytest.approx(plain.intra)


def test_cross_is_1_on_average_when_positions_are_shuffled_even_of_few_pictures() -> None:
    rng = np.random.default_rng(2)
    layout = rng.normal(size=(1, 400, 6, 6))
    features = layout + rng.normal(size=(3, 400, 1, 1)) + 0.1 * rng.normal(size=(3, 400, 6, 6))
    assert _variances(features).cross < 0.7
    shuffled = rng.permuted(features.reshape(3, 400, 36), axis=2).reshape(features.shape)
    found = _variances(shuffled)
    assert found.cross == pytest.approx(1, abs=0.02)
    assert found.intra == pytest.approx(_variances(features).intra)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.zeros((1, 2, 3, 3)), "at least 2 pictures"),
        (np.zeros((0, 2, 3, 3)), "N >= 1"),
        (np.zeros((4, 3, 3)), "N >= 1"),
        (np.full((2, 2, 3, 3), 0.1), "constant"),
        (np.full((2, 2, 3, 3), np.nan), "NaN"),
    ],
)
def test_features_that_tell_nothing_are_refused(features: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _variances(features)
