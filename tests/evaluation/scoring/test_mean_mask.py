from pathlib import Path

import numpy as np
import pytest

from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.folds import make_fold
from tvseg.evaluation.scoring.mean_mask import mean_mask, mean_mask_at
from tvseg.evaluation.scoring.protocols import PROTOCOLS
from tvseg.evaluation.scoring.rows import score
from tvseg.settings import SegmentationSettings

SCORES = {"A": (76.6, 59.3), "B": (56.0, 61.4), "C": (55.9, 51.6), "D": (60.3, 50.6)}


def test_every_centre_counts_the_same(phantoms: Path) -> None:
    cases = {
        letter: find_cases(phantoms, c) for letter, c in centres_of(SegmentationSettings()).items()
    }
    a, b = (list(make_fold({letter: cases[letter]}, "none").train) for letter in "AB")
    both = mean_mask([*a, *b[:1]], side_px=32)
    expected = (mean_mask(a, side_px=32) + mean_mask(b[:1], side_px=32)) / 2
    assert np.allclose(both, expected)
    assert both.shape == (2, 32, 32)


def test_the_mean_is_cut_to_the_image() -> None:
    mean = np.zeros((1, 10, 10), np.float32)
    mean[0, :5] = 1.0
    masks = mean_mask_at(mean, 100, 60)
    assert masks.shape == (1, 100, 60)
    assert masks[0, :49].all()
    assert not masks[0, 51:].any()


@pytest.mark.parametrize("holdout", list(SCORES))
def test_scores_on_the_real_centres_are_the_known_ones(fundus4: Path, holdout: str) -> None:
    """Cup and disc DSC of the mean mask, as the protocol states them."""
    cases = {
        letter: find_cases(fundus4, c) for letter, c in centres_of(SegmentationSettings()).items()
    }
    fold = make_fold(cases, holdout)
    mean = mean_mask(fold.train, side_px=256)
    rows = []
    for case in fold.target:
        if case.split == "test":
            _, truth = case.read()
            prediction = mean_mask_at(mean, *truth.shape[1:])
            rows.append(
                [r["dice"] for r in score(prediction, truth, ("cup", "disc"), PROTOCOLS["honest"])]
            )
    assert 100 * np.mean(np.array(rows, float), axis=0) == pytest.approx(SCORES[holdout], abs=0.15)
