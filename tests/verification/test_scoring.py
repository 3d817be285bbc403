import numpy as np
import pytest

from tests.conftest import SHARED
from tvseg.errors import UserError
from tvseg.verification.scoring import (
    error_rates,
    honest,
    insightface,
    paper,
    squared_distances,
    unit,
)

ORACLE = SHARED / "oracles" / "verification.npz"


def drawn(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    left = draws.normal(size=(200, 8))
    same = np.arange(200) % 2 == 0
    right = np.where(same[:, None], left, draws.normal(size=left.shape))
    return left, right + noise * draws.normal(size=left.shape), same, np.arange(200) // 20


@pytest.mark.parametrize("protocol", [honest, insightface, paper])
def test_faces_that_are_alike_score_one(protocol) -> None:
    assert protocol(*drawn(0.01)).mean == 1.0


def test_a_fold_does_not_choose_its_own_threshold() -> None:
    distances = np.array([0.1, 0.5, 0.1, 0.5, 1.1, 0.9])  # the last fold's pairs are swapped
    left = np.stack([np.ones(6), np.zeros(6)], axis=1)
    angle = 2 * np.arcsin(np.sqrt(distances) / 2)
    right = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    same = np.array([True, False, True, False, True, False])
    found = honest(left, right, same, np.array([0, 0, 1, 1, 2, 2]))
    assert found.per_fold.tolist() == [1.0, 1.0, 0.5]
    assert found.thresholds[2] == pytest.approx(0.3)  # the middle of 0.1 and 0.5
    assert found.standard_error == pytest.approx(np.std([1, 1, 0.5], ddof=1) / np.sqrt(3))


def test_the_paper_protocol_changes_embeddings_and_honest_does_not() -> None:
    left, right, same, fold = drawn(0.8)
    shifted = left + 3, right + 3
    assert honest(*shifted, same, fold).mean < paper(*shifted, same, fold).mean
    assert paper(left, right, same, fold).mean != honest(left, right, same, fold).mean


def test_rates_by_brute_force() -> None:
    draws = np.random.default_rng(3)
    same = draws.uniform(size=400) < 0.4
    distances = np.round(draws.normal(1.5 - 0.8 * same, 0.5).clip(0, 4), 1)  # with ties
    found = error_rates(distances, same, far=(0.05, 0.01))
    genuine, impostor = distances[same], distances[~same]
    wins = (genuine[:, None] < impostor) + 0.5 * (genuine[:, None] == impostor)
    assert found.auc == pytest.approx(wins.mean())
    for far, tar in found.tar.items():
        passing = [t for t in np.unique(distances) if (impostor <= t).mean() <= far]
        expected = (genuine <= max(passing)).mean() if passing else 0.0
        assert tar == pytest.approx(expected)
        assert (impostor <= found.thresholds[far]).mean() <= far
    gaps = [(abs((impostor <= t).mean() - (genuine > t).mean()), t) for t in np.unique(distances)]
    t = min(gaps)[1]
    assert found.eer == pytest.approx(((impostor <= t).mean() + (genuine > t).mean()) / 2)


@pytest.mark.parametrize("kind", [True, False])
def test_rates_need_both_kinds(kind: bool) -> None:
    with pytest.raises(UserError, match="pairs of both kinds"):
        error_rates(np.ones(3), np.full(3, kind))


def test_rates_refuse_nan() -> None:
    with pytest.raises(UserError, match="must be finite"):
        error_rates(np.array([0.1, np.nan]), np.array([True, False]))


def test_zero_embeddings_stay_zero() -> None:
    assert unit(np.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_results_of_the_original_codes() -> None:
    if not ORACLE.is_file():
        pytest.skip(f"needs the numbers of the original code in {ORACLE}")
    oracle = np.load(ORACLE)
    left, right, fold = oracle["left"], oracle["right"], oracle["fold"].astype(int)
    same = oracle["flags"] > 0
    published = paper(left, right, same, fold)
    assert 100 * published.mean == pytest.approx(float(oracle["tvconv_accuracy"]), abs=1e-9)
    threshold = float(oracle["tvconv_threshold"])
    assert published.thresholds.mean() == pytest.approx(threshold, abs=1e-9)
    faces = insightface(left, right, same, fold)
    np.testing.assert_allclose(faces.per_fold, oracle["insightface_accuracies"], atol=1e-9)
    no_mean = 100 * honest(left, right, same, fold).mean
    assert no_mean == pytest.approx(oracle["no_mean"][0], abs=1)
    rates = error_rates(squared_distances(left, right), same, far=(1e-3,))
    assert rates.tar[1e-3] > 0.9
