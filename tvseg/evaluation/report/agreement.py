"""Agreement of predicted and true vertical cup-to-disc ratios, after Bland and Altman."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvseg.evaluation.plot_style import STYLE, WIDTH_IN, centre_marks
from tvseg.evaluation.report.figures import DOTS, centre_legend
from tvseg.evaluation.tables.statistics import bootstrap_interval

ALL = "all"
LIMIT_SDS = 1.96


def ratios(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have both vertical cup-to-disc ratios, one an image and seed."""
    return cases.dropna(subset=["vcdr", "true_vcdr"])


def agreement(cases: pd.DataFrame, variants: Sequence[str]) -> pd.DataFrame:
    """Return how far predicted vertical cup-to-disc ratios are from the true ones.

    Rows of several seeds count one by one: averaged over seeds first, a variant would seem to agree
    better than any network of it does. The interval is over images.

    Args:
        cases: Rows of ``cases.csv`` files.
        variants: Variants, in order.

    Returns:
        A row per variant and centre, and one for all centres where there are several: ``variant``,
        ``centre``, ``n`` rows, ``mae`` (mean absolute difference), ``bias`` (mean of prediction
        minus truth) with bootstrap bounds ``bias_low`` and ``bias_high``, ``limit_low`` and
        ``limit_high`` (95 % limits of agreement, bias -+ 1.96 sd; nan for one row).

    Source: J. M. Bland, D. G. Altman, "Statistical methods for assessing agreement between two
    methods of clinical measurement", Lancet 327, 1986.
    """
    found = []
    for variant in variants:
        own = ratios(cases[cases["variant"] == variant])
        groups = [
            (centre, own[own["centre"] == centre]) for centre in sorted(own["centre"].unique())
        ]
        groups += [(ALL, own)] if len(groups) > 1 else []
        found += [{"variant": variant, "centre": centre, **_agree(rows)} for centre, rows in groups]
    columns = ["n", "mae", "bias", "bias_low", "bias_high", "limit_low", "limit_high"]
    return pd.DataFrame(found, columns=["variant", "centre", *columns])


def _agree(rows: pd.DataFrame) -> dict[str, float]:
    difference = rows["vcdr"] - rows["true_vcdr"]
    by_image = difference.groupby([rows[key] for key in ("centre", "split", "case")]).mean()
    low, high = bootstrap_interval(by_image.to_numpy())
    bias, reach = float(difference.mean()), LIMIT_SDS * float(difference.std())
    return {
        "n": len(rows),
        "mae": float(difference.abs().mean()),
        "bias": bias,
        "bias_low": low,
        "bias_high": high,
        "limit_low": bias - reach,
        "limit_high": bias + reach,
    }


@rc_context(STYLE)
def bland_altman(cases: pd.DataFrame, variant: str, centres: Sequence[str]) -> Figure:
    """Draw predicted against true vertical cup-to-disc ratios, and differences by means.

    Lines on the right are the bias and the 95 % limits of agreement over all centres.

    Args:
        cases: Rows of ``cases.csv`` files.
        variant: Whose rows to draw.
        centres: All centres of the report.
    """
    rows = ratios(cases[cases["variant"] == variant])
    overall = agreement(rows, [variant]).iloc[-1]
    marks = centre_marks(centres, rows["centre"])
    figure = Figure(figsize=(WIDTH_IN, 3.2), layout="constrained")
    scatter, plot = figure.subplots(1, 2)
    for centre, (colour, mark) in marks.items():
        own = rows[rows["centre"] == centre]
        middle, difference = (own["vcdr"] + own["true_vcdr"]) / 2, own["vcdr"] - own["true_vcdr"]
        scatter.plot(own["true_vcdr"], own["vcdr"], mark, color=colour, **DOTS)
        plot.plot(middle, difference, mark, color=colour, **DOTS)
    _identity(scatter, rows[["vcdr", "true_vcdr"]].to_numpy())
    for axes in (scatter, plot):
        axes.set_box_aspect(1)
    scatter.set_xlabel("truth")
    scatter.set_ylabel("prediction")
    scatter.set_title(f"vCDR of {variant}")
    for key, style in (("bias", "-"), ("limit_low", "--"), ("limit_high", "--")):
        value = float(overall[key])
        if np.isfinite(value):
            plot.axhline(value, color="black", linewidth=1, linestyle=style)
            _label(plot, value)
    plot.set_xlabel("mean of both")
    plot.set_title("prediction less truth")
    centre_legend(figure, marks)
    return figure


def _label(axes: Axes, value: float) -> None:
    """Write a value beside the line at it, outside the plot."""
    axes.annotate(
        f"{value:+.2f}",
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _identity(axes: Axes, values: np.ndarray) -> None:
    low, high = float(values.min()) - 0.05, float(values.max()) + 0.05
    axes.plot([low, high], [low, high], color="black", linewidth=0.8, zorder=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
