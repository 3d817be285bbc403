"""Figures of scores: a table of rows in, a figure out; nothing is read or written."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from tvseg.evaluation.plot_style import STYLE, WIDTH_IN, centre_marks
from tvseg.evaluation.schema import METRICS
from tvseg.evaluation.tables.layout import SHORT
from tvseg.evaluation.tables.statistics import per_image
from tvseg.evaluation.variants import variant_colours

DRAWN = ("dice", "hd95_px")
"""Metrics that are drawn image by image."""

DOTS = {"markersize": 4.0, "alpha": 0.6, "markeredgewidth": 0.0}
SIGNIFICANT = 0.05
LEAST_PX = 1.0
"""Smaller distances are drawn here: a logarithmic axis has no zero."""

_BOXES_SHARE = 0.8  # of the room between two centres


@rc_context(STYLE)
def box_plot(cases: pd.DataFrame, metric: str, variants: Sequence[str]) -> Figure:
    """Draw the distribution of a metric: a panel a structure, a box a centre and variant.

    Boxes show median and quartiles, whiskers reach to 1.5 times the quartiles' distance; every
    image, averaged over seeds, is a dot. Distances have a logarithmic axis from 1 px on.

    Args:
        cases: Rows of ``cases.csv`` files.
        metric: One of :data:`DRAWN`.
        variants: Variants to draw, in order.
    """
    values = _in_units(cases[cases["variant"].isin(variants)], metric)
    structures, centres = (sorted(values[key].unique()) for key in ("structure", "centre"))
    figure = Figure(figsize=(WIDTH_IN, 0.7 + 2.3 * len(structures)), layout="constrained")
    panels = figure.subplots(len(structures), 1, squeeze=False, sharex=True)[:, 0]
    colours = variant_colours(variants)
    for axes, structure in zip(panels, structures, strict=True):
        _boxes(axes, values[values["structure"] == structure], centres, colours)
        axes.set_title(SHORT.get(structure, structure))
        axes.set_ylabel(_axis(metric))
        if METRICS[metric].best == "lowest":
            axes.set_yscale("log")  # a missed structure costs a thousand px
            _plain_log(axes.yaxis, values["value"].to_numpy())
    panels[-1].set_xticks(range(len(centres)), centres)
    panels[-1].set_xlabel("centre")
    _variant_legend(figure, colours)
    return figure


def _boxes(
    axes: Axes, values: pd.DataFrame, centres: Sequence[str], colours: dict[str, str]
) -> None:
    width = _BOXES_SHARE / len(colours)
    rng = np.random.default_rng(0)  # the horizontal scatter carries no meaning
    axes.grid(visible=False, axis="x")
    for index, (variant, colour) in enumerate(colours.items()):
        offset = (index + 0.5) * width - _BOXES_SHARE / 2
        for column, centre in enumerate(centres):
            own = values[(values["variant"] == variant) & (values["centre"] == centre)]["value"]
            if own.empty:
                continue
            spread = rng.uniform(-0.3, 0.3, len(own)) * width
            axes.plot(column + offset + spread, own, ".", color=colour, markersize=2.5, alpha=0.6)
            axes.boxplot(
                own.to_numpy(),
                positions=[column + offset],
                widths=0.85 * width,
                showfliers=False,  # they are among the dots
                patch_artist=True,
                boxprops={"facecolor": colour, "alpha": 0.4, "linewidth": 0.8},
                medianprops={"color": "black", "linewidth": 1.4},
                whiskerprops={"linewidth": 0.8},
                capprops={"linewidth": 0.8},
                manage_ticks=False,
            )


@rc_context(STYLE)
def pair_scatter(
    cases: pd.DataFrame, metric: str, pair: tuple[str, str], centres: Sequence[str]
) -> Figure:
    """Draw a metric of two variants image by image, a panel a structure.

    Args:
        cases: Rows of ``cases.csv`` files, with images that both have scored.
        metric: One of :data:`DRAWN`.
        pair: Variant on the horizontal and on the vertical axis.
        centres: All centres of the report.
    """
    values = _in_units(cases[cases["variant"].isin(pair)], metric)
    keys = ["structure", "centre", "split", "case"]
    wide = values.pivot(index=keys, columns="variant", values="value").dropna().reset_index()
    structures = sorted(wide["structure"].unique())
    marks = centre_marks(centres, wide["centre"])
    figure = Figure(figsize=(WIDTH_IN, 3.3), layout="constrained")
    panels = figure.subplots(1, len(structures), squeeze=False)[0]
    for axes, structure in zip(panels, structures, strict=True):
        here = wide[wide["structure"] == structure]
        for centre, (colour, mark) in marks.items():
            own = here[here["centre"] == centre]
            axes.plot(own[pair[0]], own[pair[1]], mark, color=colour, **DOTS)
        _square(axes, here[list(pair)].to_numpy(), metric)
        axes.set_title(f"{SHORT.get(structure, structure)}, {_wins(here, metric, pair)}")
        axes.set_xlabel(f"{pair[0]}: {_axis(metric)}")
    panels[0].set_ylabel(f"{pair[1]}: {_axis(metric)}")
    centre_legend(figure, marks)
    return figure


def _square(axes: Axes, values: np.ndarray, metric: str) -> None:
    """Set equal limits on both axes, and draw the line on which both variants are equally good."""
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    if METRICS[metric].best == "lowest":
        axes.set_xscale("log")
        axes.set_yscale("log")
        _plain_log(axes.xaxis, values)
        _plain_log(axes.yaxis, values)
        limits = (low / 1.3, high * 1.3)
    axes.plot(limits, limits, color="black", linewidth=0.8, zorder=1)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_box_aspect(1)


def _wins(values: pd.DataFrame, metric: str, pair: tuple[str, str]) -> str:
    gain = values[pair[1]] - values[pair[0]]
    better = gain < 0 if METRICS[metric].best == "lowest" else gain > 0
    return f"{pair[1]} better: {int(better.sum())}/{len(values)}"


@rc_context(STYLE)
def difference_plot(comparison: pd.DataFrame, metric: str, centres: Sequence[str]) -> Figure:
    """Draw mean differences of pairs of variants with their intervals, a panel a structure.

    Args:
        comparison: Rows of one metric with ``structure``, ``centre``, ``first``, ``second``, ``n``,
            ``difference``, ``low``, ``high`` (in the rows' unit) and ``p_holm``; differences with
            a corrected p below :data:`SIGNIFICANT` are filled.
        metric: One of :data:`DRAWN`.
        centres: All centres of the report.
    """
    comparison = comparison[comparison["n"] > 0]
    pairs = comparison[["first", "second"]].drop_duplicates().to_numpy().tolist()
    structures = sorted(comparison["structure"].unique())
    marks = centre_marks(centres, comparison["centre"])
    height = 1.0 + len(structures) * (0.4 + 0.2 * len(pairs) * (len(marks) + 1))
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    panels = figure.subplots(len(structures), 1, squeeze=False, sharex=True)[:, 0]
    for axes, structure in zip(panels, structures, strict=True):
        here = comparison[comparison["structure"] == structure]
        for row, (first, second) in enumerate(pairs):
            rows = here[(here["first"] == first) & (here["second"] == second)]
            _intervals(axes, rows, row, marks, METRICS[metric].factor)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(pairs)), [f"{first}\nvs {second}" for first, second in pairs])
        axes.set_ylim(len(pairs) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_title(SHORT.get(structure, structure))
    better = {"lowest": "← first better", "highest": "first better →"}[METRICS[metric].best]
    unit = "points" if METRICS[metric].unit == "%" else METRICS[metric].unit
    panels[-1].set_xlabel(f"difference of {METRICS[metric].name}, {unit}   ({better})")
    centre_legend(figure, marks)
    return figure


def _intervals(
    axes: Axes, rows: pd.DataFrame, row: int, marks: dict[str, tuple[str, str]], factor: float
) -> None:
    step = 0.7 / max(len(marks), 1)
    for index, (centre, (colour, mark)) in enumerate(marks.items()):
        at = row + (index - (len(marks) - 1) / 2) * step
        own = rows[rows["centre"] == centre]
        for bounds in own[["low", "high"]].to_numpy():
            axes.plot(factor * bounds, [at, at], color=colour)
        for clear, inside in ((True, colour), (False, "white")):
            gains = factor * own.loc[(own["p_holm"] < SIGNIFICANT) == clear, "difference"]
            axes.plot(
                gains, [at] * len(gains), mark, color=colour, markerfacecolor=inside, markersize=6
            )


@rc_context(STYLE)
def training_curves(epochs: pd.DataFrame, variants: Sequence[str]) -> Figure:
    """Draw loss and validation Dice by epoch, a line a run, a ring at the epoch that was kept.

    Args:
        epochs: Rows of ``metrics.csv`` files with ``variant``, ``seed`` and ``best_epoch`` added.
        variants: Variants to draw, in order.
    """
    figure = Figure(figsize=(WIDTH_IN, 2.8), layout="constrained")
    loss, dice = figure.subplots(1, 2)
    colours = variant_colours(variants)
    for (variant, _), run in epochs.groupby(["variant", "seed"]):
        colour = colours[str(variant)]
        loss.plot(run["epoch"], run["loss"], color=colour)
        dice.plot(run["epoch"], 100 * run["dice"], color=colour)
        kept = run[run["epoch"] == run["best_epoch"]]
        dice.plot(kept["epoch"], 100 * kept["dice"], "o", color=colour, markerfacecolor="white")
    loss.set_yscale("log")
    _plain_log(loss.yaxis, epochs["loss"].to_numpy())
    loss.set_title("training loss")
    dice.set_title("DSC of validation, %")
    for axes in (loss, dice):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4))
    return figure


def centre_legend(figure: Figure, marks: dict[str, tuple[str, str]]) -> None:
    """Put the centres' marks above a figure."""
    handles = [
        Line2D(
            [], [], color=colour, marker=mark, linestyle="", markersize=5, label=f"centre {name}"
        )
        for name, (colour, mark) in marks.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4))


def _variant_legend(figure: Figure, colours: dict[str, str]) -> None:
    handles = [Patch(facecolor=colour, alpha=0.6, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4))


def _in_units(cases: pd.DataFrame, metric: str) -> pd.DataFrame:
    values = per_image(cases, metric)
    values["value"] *= METRICS[metric].factor
    if METRICS[metric].best == "lowest":
        values["value"] = values["value"].clip(lower=LEAST_PX)
    return values


def _plain_log(axis: Axis, values: np.ndarray) -> None:
    """Label a logarithmic axis with plain numbers."""
    wide = values.size > 0 and values.max() > 20 * values.min()
    axis.set_major_locator(LogLocator(subs=(1, 3) if wide else (1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def _axis(metric: str) -> str:
    return f"{METRICS[metric].name}, {METRICS[metric].unit}"


def stem(metric: str) -> str:
    """Return what the files of a metric's figures are called."""
    return METRICS[metric].name.lower()
