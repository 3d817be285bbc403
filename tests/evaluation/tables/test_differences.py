"""Mean differences over centres of unequal size, against a bootstrap by hand."""

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.conftest import scored_rows
from tvseg.evaluation.tables.differences import mean_differences

VARIANTS = ["dense", "depthwise", "tvconv"]


@pytest.fixture(scope="module")
def uneven() -> pd.DataFrame:
    """Rows of two centres, one of which has lost half of its images."""
    cases = scored_rows()
    of_b = sorted(cases.loc[cases["centre"] == "B", "case"].unique())
    return cases[(cases["centre"] != "B") | ~cases["case"].isin(of_b[::2])]


def _gains(cases: pd.DataFrame) -> list[np.ndarray]:
    means = cases.groupby(["variant", "centre", "case"])["dice"].mean()
    gains = means["tvconv"] - means["dense"]
    return [here.to_numpy() for _, here in gains.groupby("centre")]


def test_centres_count_alike(uneven: pd.DataFrame) -> None:
    table = mean_differences(uneven, ["dice"], VARIANTS)
    pairs = list(table[["first", "second"]].itertuples(index=False, name=None))
    assert pairs == [("tvconv", "depthwise"), ("tvconv", "dense"), ("depthwise", "dense")]
    row, gains = table.iloc[1], _gains(uneven)
    assert (row["centres"], row["n"]) == (2, sum(map(len, gains)))
    assert len(gains[0]) != len(gains[1])
    by_centre = np.mean([one.mean() for one in gains])
    assert abs(by_centre - np.concatenate(gains).mean()) > 1e-4
    assert row["difference"] == pytest.approx(by_centre)


def test_images_are_drawn_anew_within_each_centre(uneven: pd.DataFrame) -> None:
    gains = [one + shift for one, shift in zip(_gains(uneven), (0.0, 0.5), strict=True)]
    moved = uneven.copy()
    here = (moved["variant"] == "tvconv") & (moved["centre"] == "B")
    moved.loc[here, "dice"] += 0.5
    row = mean_differences(moved, ["dice"], VARIANTS).iloc[1]
    rng = np.random.default_rng(1)
    resampled = [np.mean([rng.choice(one, len(one)).mean() for one in gains]) for _ in range(4000)]
    assert [row["low"], row["high"]] == pytest.approx(
        np.quantile(resampled, [0.025, 0.975]), abs=3e-4
    )


def test_pairs_without_a_common_image_are_left_out(uneven: pd.DataFrame) -> None:
    apart = uneven[(uneven["variant"] != "dense") | (uneven["centre"] == "A")]
    apart = apart[(apart["variant"] != "tvconv") | (apart["centre"] == "B")]
    table = mean_differences(apart, ["dice"], VARIANTS)
    assert list(table["first"]) == ["tvconv", "depthwise"]
    assert list(table["second"]) == ["depthwise", "dense"]
