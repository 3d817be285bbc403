"""Figures of face verification: tables in, a figure out; nothing is read or written."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter
from sklearn.metrics import roc_curve

from tvseg.evaluation.plot_style import STYLE, WIDTH_IN
from tvseg.evaluation.variants import variant_colours

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


@rc_context(STYLE)
def roc_figure(pairs: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """Draw the true accept rate by the false accept rate: a line for each run.

    Args:
        pairs: Variant -> the distances of each of its runs, with the columns ``same`` and
            ``squared_distance``, of one set of pairs.
    """
    figure = Figure(figsize=(WIDTH_IN, 3.8), layout="constrained")
    axes = figure.subplots()
    least = 1.0
    for variant, colour in variant_colours(list(pairs)).items():
        for number, distances in enumerate(pairs[variant]):
            accepts, rates = roc(distances)
            least = min(least, accepts[accepts > 0].min())
            label = variant if number == 0 else None
            axes.step(accepts, rates, where="post", color=colour, linewidth=1.1, label=label)
    chance = np.geomspace(least, 1, 50)
    axes.plot(chance, chance, ":", color="#808080", linewidth=1.0, label="chance")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(least, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("false accept rate")
    axes.set_ylabel("true accept rate")
    axes.legend(loc="upper left")
    return figure


def roc(distances: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return false and true accept rates at every threshold, both from 0 to 1.

    Args:
        distances: With the columns ``same`` and ``squared_distance``.
    """
    accepts, rates, _ = roc_curve(
        distances["same"], -distances["squared_distance"], drop_intermediate=False
    )
    return accepts, rates


@rc_context(STYLE)
def training_figure(epochs: pd.DataFrame) -> Figure:
    """Draw loss and accuracy on the validation pairs by epoch: a line for each run.

    Args:
        epochs: Rows of ``metrics.csv`` files with the columns ``run`` and ``variant``.
    """
    figure = Figure(figsize=(WIDTH_IN, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for variant, colour in variant_colours(list(epochs["variant"].unique())).items():
        own = epochs[epochs["variant"] == variant]
        for number, (_, rows) in enumerate(own.groupby("run")):
            above.plot(rows["epoch"], rows["loss"], ".-", color=colour)
            label = variant if number == 0 else None
            below.plot(rows["epoch"], 100 * rows["accuracy"], ".-", color=colour, label=label)
    above.set_ylabel("loss")
    below.set_ylabel("accuracy,\nvalidation pairs [%]")
    below.set_xlabel("epoch")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.legend(loc="lower right")
    return figure


@rc_context(STYLE)
def settings_figure(panels: Mapping[str, pd.DataFrame], *, by: str, score: str) -> Figure:
    """Draw accuracy by the value of settings: a panel a key, a line for each value of ``by``.

    Args:
        panels: Key -> a row for each point and line, with the columns ``value``, ``line``,
            ``accuracy`` and ``error`` (the half length of its bar, nan for none), in order.
        by: What lines differ in, the title of the legend.
        score: Label of the vertical axis.
    """
    columns = min(len(panels), 2)
    lines = -(-len(panels) // columns)
    size = (WIDTH_IN, 0.5 + 2.5 * lines)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    names = list(dict.fromkeys(str(name) for rows in panels.values() for name in rows["line"]))
    colours = variant_colours(names)
    for axes, (key, rows) in zip(grid.ravel(), panels.items(), strict=False):
        _panel(axes, rows, colours)
        axes.set_xlabel(key)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(score)
    grid[0, 0].legend(title=by)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, colours: Mapping[str, str]) -> None:
    values = list(dict.fromkeys(rows["value"]))
    numbers = all(isinstance(value, int | float) for value in values)
    for number, (name, colour) in enumerate(colours.items()):
        own = rows[rows["line"].astype(str) == name]
        across = own["value"].astype(float) if numbers else [values.index(v) for v in own["value"]]
        axes.errorbar(
            across, own["accuracy"], yerr=own["error"], color=colour, label=name,
            fmt=("-" if numbers else "") + MARKS[number % len(MARKS)], markersize=4, capsize=2,
        )  # fmt: skip
    if not numbers:
        axes.set_xticks(range(len(values)), [str(value) for value in values])
