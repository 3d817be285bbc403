from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.evaluation.scoring.shifts import (
    evaluate_shifts,
    move_back,
    shift_region,
    summarise_shifts,
)
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings

HONEST = Scoring(PROTOCOLS["honest"])
STEPS = [(0, 0), (3, 0), (-3, 0), (0, 5), (0, -5), (2, -4)]


@pytest.mark.parametrize(("down", "right"), STEPS)
def test_a_moved_region_shows_the_same_pixels_elsewhere(down: int, right: int) -> None:
    image = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3)
    moved = shift_region(image, down, right)
    assert moved.shape == image.shape
    for row, col in ((8, 12), (11, 20)):
        assert np.array_equal(moved[row, col], image[row + down, col + right])


def test_beyond_the_region_the_picture_is_mirrored() -> None:
    image = np.arange(10)[:, None].repeat(4, axis=1)
    assert shift_region(image, 3, 0)[:, 0].tolist() == [3, 4, 5, 6, 7, 8, 9, 8, 7, 6]
    assert shift_region(image, -2, 0)[:, 0].tolist() == [2, 1, 0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(("down", "right"), STEPS)
def test_masks_come_back_to_where_they_were(down: int, right: int) -> None:
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 8:12, 10:20] = masks[1, 7, 15] = True
    moved = np.stack([shift_region(mask, down, right) for mask in masks])
    assert np.array_equal(move_back(moved, down, right), masks)


def test_what_lies_outside_the_moved_region_is_lost() -> None:
    full = np.ones((1, 10, 12), bool)
    assert move_back(full, 3, 0)[0, :3].sum() == 0
    assert move_back(full, 3, 0).sum() == 7 * 12
    assert move_back(full, 0, -5).sum() == 10 * 7
    assert move_back(full, 11, 0).sum() == 0


class _Perfect:
    """Stands in for a run: its network always finds the truth of the image that it is shown."""

    def __init__(self, root: Path) -> None:
        self.cases = find_cases(root, centres_of(SegmentationSettings())["B"])[:2]
        self.card = type("Card", (), {"settings": SegmentationSettings()})
        self.run = RunFolder(root / "run")
        self.scoring = HONEST

    def about(self, case: object, variant: str) -> dict[str, object]:
        return {"variant": variant, "seed": 0, "centre": "B", "split": "test", "case": str(case)}

    def predictions(self, image: np.ndarray) -> object:
        masks = next(
            np.stack([shift_region(mask, *step) for mask in truth])
            for case in self.cases
            for photograph, truth in [case.read()]
            for shift in (0, 5, 19)
            for step in [(0, 0), (shift, 0), (-shift, 0), (0, shift), (0, -shift)]
            if np.array_equal(shift_region(photograph, *step), image)
        )
        yield "perfect", masks
        yield "mean mask", np.zeros_like(masks)


def test_a_perfect_network_reaches_the_limit_at_every_shift(phantoms: Path, tmp_path: Path) -> None:
    subject = _Perfect(phantoms)
    subject.run = RunFolder(tmp_path)
    table = evaluate_shifts(subject, shifts=(0.0, 0.05, 0.2))  # type: ignore[arg-type]
    assert len(table) == 2 * 3 * 2 * 2
    perfect = table[table["variant"] == "perfect"]
    assert perfect["dice"].to_numpy() == pytest.approx(perfect["dice_limit"].to_numpy())
    limits = table[table["structure"] == "disc"].groupby("shift")["dice_limit"].mean()
    assert limits[0.0] == 1.0
    assert limits[0.2] < 1.0
    assert set(table[table["variant"] == "mean mask"]["dice"]) == {0.0}
    assert (
        pd.read_csv(tmp_path / "eval" / "honest" / "shifts.csv")["dice"].tolist()
        == table["dice"].tolist()
    )
    means = summarise_shifts(table)
    assert list(means.columns) == [0.0, 0.05, 0.2]
    assert means.loc[("disc", "perfect"), 0.2] == pytest.approx(100 * limits[0.2])
    assert means.loc[("disc", "limit"), 0.2] == pytest.approx(100 * limits[0.2])


def test_shifts_are_shares_below_one_half() -> None:
    for wrong in ((), (0.5,), (-0.1,)):
        with pytest.raises(ValueError, match=r"shares of the side from 0 to below 0\.5"):
            evaluate_shifts(None, shifts=wrong)  # type: ignore[arg-type]
