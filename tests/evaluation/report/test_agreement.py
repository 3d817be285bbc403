import numpy as np
import pandas as pd
import pytest

from tests.evaluation.conftest import IMAGES, scored_rows
from tvseg.evaluation.report.agreement import agreement, bland_altman


@pytest.fixture(scope="module")
def cases() -> pd.DataFrame:
    return scored_rows(("dense", "tvconv"))


def test_agreement_equals_a_few_lines_of_numpy(cases: pd.DataFrame) -> None:
    table = agreement(cases, ["tvconv", "dense"])
    places = list(table[["variant", "centre"]].itertuples(index=False, name=None))
    assert places == [(v, c) for v in ("tvconv", "dense") for c in ("A", "B", "all")]
    for row in table.itertuples():
        mine = cases[(cases["variant"] == row.variant) & (cases["structure"] == "cup")]
        mine = mine if row.centre == "all" else mine[mine["centre"] == row.centre]
        difference = (mine["vcdr"] - mine["true_vcdr"]).to_numpy()
        assert row.n == len(difference) == IMAGES * 2 * (2 if row.centre == "all" else 1)
        assert row.mae == pytest.approx(np.abs(difference).mean())
        assert row.bias == pytest.approx(difference.mean())
        reach = 1.96 * np.std(difference, ddof=1)
        limits = [difference.mean() - reach, difference.mean() + reach]
        assert [row.limit_low, row.limit_high] == pytest.approx(limits)
        assert row.bias_low < row.bias < row.bias_high


def test_a_disc_that_was_not_found_has_no_part_in_it(cases: pd.DataFrame) -> None:
    lacking = cases.assign(vcdr=cases["vcdr"].where(cases["case"] != "photo1"))
    (n,) = agreement(lacking.query("centre == 'A'"), ["dense"])["n"]
    assert n == 2 * (IMAGES - 1)
    assert agreement(cases.assign(vcdr=np.nan), ["dense"]).empty


def test_the_plot_shows_differences_by_mean_with_bias_and_limits(cases: pd.DataFrame) -> None:
    scatter, plot = bland_altman(cases, "tvconv", ["A", "B"]).axes
    mine = cases[(cases["variant"] == "tvconv") & (cases["structure"] == "cup")]
    dots = [line for line in plot.lines if line.get_marker() != "None"]
    found = np.concatenate([line.get_xydata() for line in dots])
    middle = (mine["vcdr"] + mine["true_vcdr"]) / 2
    expected = np.column_stack([middle, mine["vcdr"] - mine["true_vcdr"]])
    assert found[np.lexsort(found.T)] == pytest.approx(expected[np.lexsort(expected.T)])
    levels = [line.get_ydata()[0] for line in plot.lines if line.get_marker() == "None"]
    overall = agreement(cases, ["tvconv"]).iloc[-1]
    assert levels == pytest.approx([overall["bias"], overall["limit_low"], overall["limit_high"]])
    assert scatter.get_xlabel() == "truth"
