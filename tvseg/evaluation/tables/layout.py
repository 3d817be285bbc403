"""Lays summaries out as tables; that of scores is like the paper's Table 2."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tvseg.evaluation.schema import METRICS, Metric
from tvseg.evaluation.tables.table import Cell, Table
from tvseg.evaluation.variants import ordered

SHORT = {"cup": "OC", "disc": "OD"}
SHOWN = ("dice", "hd95_px", "vcdr_error", "vcdr_bias")
NUMBERS = ("mean", "sd", "low", "high", "found_mean", "n", "n_missed")
LEGEND = (
    "Cells: mean ± standard deviation over seeds{interval} (missed/scored structures over all "
    "seeds; mean over the found ones where it differs). The best of a row is bold."
)
INTERVAL = " [bootstrap 95 % interval over images]"
_ARROWS = {"highest": "↑", "lowest": "↓", "nearest to zero": "→ 0"}
_LOSS: dict[str, Callable[[float], float]] = {
    "highest": lambda mean: -mean,
    "lowest": lambda mean: mean,
    "nearest to zero": abs,
}

Scores = Mapping[str, Mapping[Any, Any]]
"""Variant -> the numbers of a summary's row; a variant without a score is left out."""


def layout(
    summary: pd.DataFrame,
    caption: str,
    *,
    metrics: Sequence[str] = SHOWN,
    intervals: bool = False,
    name: str = "table",
) -> Table:
    """Lay a summary out like the paper's Table 2: a row per metric, structure and centre.

    Args:
        summary: Result of :func:`tvseg.evaluation.tables.summary.summarise`.
        caption: Names the protocol, the images and the data; the meaning of cells is added.
        metrics: Which metrics to show, in this order, where the summary has them.
        intervals: Whether to write the bootstrap interval beside each mean.
        name: Stem of the table's files.

    Returns:
        The rows of each metric, and at their foot the mean over them, for variants that have
        them all. Its numbers are ``<variant> mean``, ``sd``, ``low``, ``high``, ...
    """
    variants = ordered(summary["variant"].unique().tolist())
    rows: list[list[Cell]] = []
    numbers: list[dict[str, object]] = []
    feet = set()
    for key in metrics:
        metric = METRICS[key]
        block: list[tuple[str, str, Scores]] = [
            (task(key, str(structure)), str(centre), _by_variant(here))
            for (structure, centre), here in summary[summary["metric"] == key].groupby(
                ["structure", "centre"]
            )
        ]
        if len(block) > 1:
            feet.add(len(rows) + len(block))
            block.append(("mean", "", _means([scores for *_, scores in block], variants)))
        for structure, centre, scores in block:
            best = _best(metric, scores)
            cells = [_cell(metric, scores.get(v), v in best, intervals) for v in variants]
            heads = (_title(metric), structure, centre)
            rows.append([*map(Cell, heads), *cells])
            numbers.append(
                dict(zip(("metric", "task", "centre"), heads, strict=True))
                | {f"{v} {n}": scores[v][n] if v in scores else None for v in variants
                   for n in NUMBERS}
            )  # fmt: skip
    return Table(
        caption=f"{caption} {LEGEND.format(interval=INTERVAL if intervals else '')}",
        columns=["Metric", "Task", "Centre", *variants],
        rows=rows,
        numbers=pd.DataFrame(numbers),
        heads=3,
        feet=frozenset(feet),
        name=name,
    )


def shift_table(means: pd.DataFrame) -> Table:
    """Lay out mean Dice by the shift of the region.

    Args:
        means: Result of :func:`tvseg.evaluation.scoring.shifts.summarise_shifts`: in %, a row per
            structure and variant, a column a shift.
    """
    numbers = means.reset_index()
    text = pd.DataFrame(
        {
            "Task": numbers["structure"].map(lambda name: SHORT.get(name, name)),
            "Variant": numbers["variant"],
        }
        | {f"{100 * float(str(shift)):g} %": numbers[shift].map("{:.2f}".format) for shift in means}
    )
    caption = (
        "DSC [%] when the region is moved by a share of its side: mean over four directions, "
        "images, centres and seeds. limit: a perfect prediction, cut off by the window."
    )
    return Table.of(caption, text, numbers=numbers, heads=2, name="shifts")


def task(metric: str, structure: str) -> str:
    """Return what tables call a structure; vertical ratios are of two."""
    return "OC/OD" if metric.startswith("vcdr") else SHORT.get(structure, structure)


def with_interval(mean: str, low: float, high: float, form: str) -> str:
    """Return a number with its interval, without one where there are no bounds.

    Example:
        >>> with_interval("1.5", 1.0, 2.0, ".1f"), with_interval("1.5", np.nan, np.nan, ".1f")
        ('1.5 [1.0, 2.0]', '1.5')
    """
    return mean if np.isnan(low) else f"{mean} [{low:{form}}, {high:{form}}]"


def _by_variant(rows: pd.DataFrame) -> Scores:
    return {str(row["variant"]): row for row in rows.to_dict("records")}


def _means(block: Sequence[Scores], variants: Sequence[str]) -> Scores:
    """Return the means over a block, without deviation and interval."""
    complete = {
        variant: [scores[variant] for scores in block]
        for variant in variants
        if all(variant in scores for scores in block)
    }
    return {
        variant: dict.fromkeys(("sd", "low", "high"), np.nan)
        | {key: float(np.mean([row[key] for row in rows])) for key in ("mean", "found_mean")}
        | {key: sum(row[key] for row in rows) for key in ("n", "n_missed")}
        for variant, rows in complete.items()
    }


def _cell(metric: Metric, row: Mapping[Any, Any] | None, best: bool, interval: bool) -> Cell:
    if row is None:
        return Cell("")
    form = f"z.{metric.digits}f"  # z: no minus before a zero
    counts = f"{row['n_missed']}/{row['n']}"
    if np.isnan(row["mean"]):  # a ratio or a share needs a disc
        return Cell("no disc", f"({counts})")
    mean, found = f"{row['mean']:{form}}", f"{row['found_mean']:{form}}"
    text = mean if np.isnan(row["sd"]) else f"{mean} ± {row['sd']:{form}}"
    text = with_interval(text, row["low"], row["high"], form) if interval else text
    differs = row["n_missed"] and not np.isnan(row["found_mean"]) and found != mean
    return Cell(text, f"({counts}; found {found})" if differs else f"({counts})", best)


def _best(metric: Metric, scores: Scores) -> set[str]:
    """Return the variants that are the best as shown; none where there is nothing to compare."""
    losses = {
        variant: _LOSS[metric.best](round(row["mean"], metric.digits))
        for variant, row in scores.items()
        if not np.isnan(row["mean"])
    }
    return {v for v, loss in losses.items() if len(losses) > 1 and loss == min(losses.values())}


def _title(metric: Metric) -> str:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return f"{metric.name}{unit} {_ARROWS[metric.best]}"
