"""Figures show the numbers of their rows, read back from what was drawn."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from tests.evaluation.conftest import GAINS, IMAGES, scored_rows
from tvseg.evaluation.plot_style import centre_marks, to_pdf, to_png
from tvseg.evaluation.report.figures import box_plot, difference_plot, pair_scatter, training_curves
from tvseg.evaluation.tables.differences import differences
from tvseg.evaluation.variants import ordered, variant_colours
from tvseg.models.spatial import SPATIAL

CENTRES = ["A", "B"]


@pytest.fixture(scope="module")
def cases() -> pd.DataFrame:
    return scored_rows()


def _points(axes: Axes) -> np.ndarray:
    """Every mark that is drawn, (n, 2) of x and y; lines without marks are left out."""
    marked = [line for line in axes.lines if line.get_marker() not in ("None", "")]
    return np.concatenate([np.column_stack(line.get_data()) for line in marked])


def _panel(figure: Figure, title: str) -> Axes:
    (axes,) = [axes for axes in figure.axes if axes.get_title("left").startswith(title)]
    return axes


def test_boxes_hold_every_image_averaged_over_seeds(cases: pd.DataFrame) -> None:
    axes = _panel(box_plot(cases, "dice", list(GAINS)), "OD")
    assert sum(isinstance(patch, PathPatch) for patch in axes.patches) == len(GAINS) * 2
    disc = cases[cases["structure"] == "disc"]
    expected = 100 * disc.groupby(["variant", "centre", "case"])["dice"].mean()
    dots = np.sort(_points(axes)[:, 1])
    assert dots == pytest.approx(np.sort(expected.to_numpy()))
    medians = expected.groupby(["variant", "centre"]).median()
    drawn = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]
    for median in medians:
        assert np.isclose(drawn, median).any()


def test_distances_below_1_px_are_drawn_at_1_px(cases: pd.DataFrame) -> None:
    close = cases.assign(hd95_px=cases["hd95_px"].where(cases["case"] != "photo3", 0.0))
    axes = _panel(box_plot(close, "hd95_px", list(GAINS)), "OC")
    assert axes.get_yscale() == "log"
    assert _points(axes)[:, 1].min() == 1.0


def test_a_scatter_has_a_dot_an_image_and_counts_the_better_ones(cases: pd.DataFrame) -> None:
    figure = pair_scatter(cases, "dice", ("dense", "tvconv"), CENTRES)
    cup = cases[cases["structure"] == "cup"].groupby(["variant", "centre", "case"])["dice"].mean()
    dense, tvconv = 100 * cup["dense"], 100 * cup["tvconv"]
    axes = _panel(figure, "OC")
    expected = np.column_stack([dense, tvconv])
    found = _points(axes)
    assert found[np.lexsort(found.T)] == pytest.approx(expected[np.lexsort(expected.T)])
    better = int((tvconv > dense).sum())
    assert axes.get_title("left") == f"OC, tvconv better: {better}/{2 * IMAGES}"


def test_of_distances_the_smaller_is_better(cases: pd.DataFrame) -> None:
    figure = pair_scatter(cases, "hd95_px", ("dense", "tvconv"), CENTRES)
    assert "tvconv better: 16/16" in _panel(figure, "OD").get_title("left")


def test_clear_differences_are_filled(cases: pd.DataFrame) -> None:
    table = differences(cases, ["dice"], ["dense", "depthwise", "tvconv"])
    table["p_holm"] = [0.01, 0.9, 0.2] * (len(table) // 3)
    figure = difference_plot(table, "dice", CENTRES)
    marks = [
        line
        for axes in figure.axes
        for line in axes.lines
        if line.get_marker() not in ("None", "") and len(line.get_xdata())
    ]
    drawn = {
        round(float(line.get_xdata()[0]), 6): line.get_markerfacecolor() != "white"
        for line in marks
    }
    expected = {
        round(100 * row.difference, 6): bool(row.p_holm < 0.05) for row in table.itertuples()
    }
    assert set(expected.values()) == {True, False}
    assert drawn == expected


def test_differences_are_gains_of_the_later_variant_with_their_intervals(
    cases: pd.DataFrame,
) -> None:
    table = differences(cases, ["dice", "hd95_px"], ["dense", "depthwise", "tvconv"])
    assert len(table) == 2 * 2 * 2 * 3
    pairs = list(table[["first", "second"]].drop_duplicates().itertuples(index=False, name=None))
    assert pairs == [("tvconv", "depthwise"), ("tvconv", "dense"), ("depthwise", "dense")]
    row = table.query(
        "metric == 'dice' and structure == 'disc' and centre == 'B' and first == 'tvconv' "
        "and second == 'dense'"
    ).iloc[0]
    mine = cases[(cases["structure"] == "disc") & (cases["centre"] == "B")]
    means = mine.groupby(["variant", "case"])["dice"].mean()
    gains = (means["tvconv"] - means["dense"]).to_numpy()
    assert row["difference"] == pytest.approx(gains.mean())
    rng = np.random.default_rng(1)
    resampled = [rng.choice(gains, len(gains)).mean() for _ in range(4000)]
    assert [row["low"], row["high"]] == pytest.approx(
        np.quantile(resampled, [0.025, 0.975]), abs=2e-4
    )


def test_curves_have_a_line_a_run_and_a_ring_at_the_kept_epoch() -> None:
    epochs = pd.DataFrame(
        {"variant": v, "seed": s, "epoch": e, "loss": 1 / e, "dice": e / 10, "best_epoch": 2}
        for v in ("dense", "tvconv")
        for s in (0, 1)
        for e in (1, 2, 3)
    )
    loss, dice = training_curves(epochs, ["dense", "tvconv"]).axes
    assert len(loss.lines) == 4
    rings = [line for line in dice.lines if line.get_marker() == "o"]
    assert [tuple(line.get_xydata()[0]) for line in rings] == [(2, 20)] * 4


def test_figures_are_the_same_bytes_each_time(cases: pd.DataFrame) -> None:
    def draw() -> Figure:
        return pair_scatter(cases, "dice", ("dense", "tvconv"), CENTRES)

    assert to_png(draw()) == to_png(draw())
    assert to_pdf(draw()) == to_pdf(draw())
    assert to_png(draw()).startswith(b"\x89PNG")
    assert to_pdf(draw()).startswith(b"%PDF")


def test_colours_tell_variants_and_centres_apart() -> None:
    names = ["mean mask", "dense", "depthwise", "tvconv", "mine", "yours"]
    colours = variant_colours(names)
    assert list(colours) == names
    assert len(set(colours.values())) == len(names)
    marks = centre_marks("ABCD", "ABCD")
    assert len({mark for _, mark in marks.values()}) == 4
    assert centre_marks("ABCD", "C") == {"C": marks["C"]}
    four = {colours[name] for name in names[:4]}
    assert not four & {colour for colour, _ in marks.values()}


def test_registered_operators_have_their_order_and_colour_without_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = variant_colours(["dense", "depthwise", "tvconv"])
    monkeypatch.setitem(SPATIAL, "newest", SPATIAL["depthwise"])
    names = ["a", "newest", "tvconv", "mean mask", "dense"]
    assert ordered(names) == ["mean mask", "dense", "tvconv", "newest", "a"]
    colours = variant_colours(names)
    assert len(set(colours.values())) == 5
    assert {name: colours[name] for name in ("dense", "tvconv")} == {
        name: before[name] for name in ("dense", "tvconv")
    }
    every = variant_colours(["dense", *SPATIAL])
    assert len(set(every.values())) == min(len(every), 8)


def test_dollar_signs_in_names_are_no_mathematics(cases: pd.DataFrame) -> None:
    r"""``$\frac$`` is no formula that can be drawn; a name is drawn as it is."""
    bad = r"$\frac$"
    renamed = cases.assign(
        structure=cases["structure"].replace("cup", bad),
        centre=cases["centre"].replace("B", r"$\frac{1}$"),
        variant=cases["variant"].replace("tvconv", bad),
    )
    centres = sorted(renamed["centre"].unique())
    figures = [
        box_plot(renamed, "dice", ["dense", bad]),
        pair_scatter(renamed, "dice", ("dense", bad), centres),
        difference_plot(differences(renamed, ["dice"], ["dense", bad]), "dice", centres),
    ]
    for figure in figures:
        assert to_png(figure).startswith(b"\x89PNG")
