"""The figure of a sweep over sources: how well each centre's network serves every other."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvseg.evaluation.plot_style import STYLE, WIDTH_IN


def cross_figure(means: pd.DataFrame) -> Figure:
    """Draw mean Dice by centres trained on and scored, a panel for each structure and variant.

    Args:
        means: Numbers of :func:`tvseg.sweep.table.cross_table`; the first protocol is drawn.
    """
    first = means[means["protocol"] == means["protocol"].iloc[0]]
    structures, variants = first["structure"].unique(), first["variant"].unique()
    shape = (len(variants), len(structures))
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(WIDTH_IN, 0.5 + 2.6 * shape[0]), layout="constrained")
        panels = figure.subplots(*shape, squeeze=False)
        for row, variant in enumerate(variants):
            for column, structure in enumerate(structures):
                here = first[(first["variant"] == variant) & (first["structure"] == structure)]
                _panel(panels[row, column], here.set_index("trained on").iloc[:, 3:])
                panels[row, column].set_title(f"{variant}, {structure}")
    return figure


def _panel(axes: Axes, means: pd.DataFrame) -> None:
    values = means.to_numpy(dtype=float)
    axes.imshow(values, vmin=0, vmax=100, cmap="viridis")
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{value:.1f}"
        axes.text(column, row, text, ha="center", va="center", color="w" if value < 60 else "k")
    axes.set_xticks(range(len(means.columns)), list(means.columns))
    axes.set_yticks(range(len(means.index)), list(means.index))
    axes.set_xlabel("scored on")
    axes.set_ylabel("trained on")
