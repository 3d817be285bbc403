"""Means of the rows of ``cases.csv``, with spread, interval and counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tvseg.evaluation.schema import IMAGE, MEAN_MASK, METRICS
from tvseg.evaluation.tables.statistics import bootstrap_interval

GROUP = ["metric", "structure", "centre", "variant"]


def summarise(cases: pd.DataFrame, *, metrics: Sequence[str] = tuple(METRICS)) -> pd.DataFrame:
    """Return means over images, then over seeds.

    The mean mask, which runs of one hold-out share, counts once.

    Args:
        cases: Rows of ``cases.csv`` files, of any number of runs.
        metrics: Keys of :data:`tvseg.evaluation.schema.METRICS`.

    Returns:
        A row per metric, structure, centre and variant, where the rows have a value:

        ``metric``, ``structure``, ``centre``, ``variant``;
        ``mean`` in the tables' unit (Dice in %, distances in px at 800);
        ``sd``: sample standard deviation over seeds, nan for one;
        ``low``, ``high``: bootstrap 95 % interval of the mean over images, each image averaged over
        seeds first;
        ``found_mean``: the mean over structures that truth and prediction both have;
        ``n``: structures scored, over all seeds, the missed ones included;
        ``n_missed``, ``n_spurious``: how many of them only the truth has, or only the prediction;
        ``seeds``: how many.

        A missed structure is in ``mean`` with its charge, except for vCDR: an image without a
        predicted disc has no ratio, is counted as missed and left out.
    """
    cases = cases.assign(seed=cases["seed"].where(cases["variant"] != MEAN_MASK, 0))
    cases = cases.drop_duplicates(["variant", "seed", "structure", *IMAGE])
    long = pd.concat([_values(cases, metric) for metric in metrics], ignore_index=True)
    seeds = long.groupby([*GROUP, "seed"], sort=False).agg(
        mean=("value", "mean"),
        found_mean=("found", "mean"),
        n=("value", "size"),
        n_missed=("missed", "sum"),
        n_spurious=("spurious", "sum"),
    )
    table = seeds.groupby(GROUP, sort=False).agg(
        mean=("mean", "mean"),
        sd=("mean", "std"),
        found_mean=("found_mean", "mean"),
        n=("n", "sum"),
        n_missed=("n_missed", "sum"),
        n_spurious=("n_spurious", "sum"),
        seeds=("mean", "size"),
    )
    images = long.groupby([*GROUP, "split", "case"], sort=False)["value"].mean()
    bounds = {key: bootstrap_interval(of.to_numpy()) for key, of in images.groupby(GROUP)}
    low = {key: interval.low for key, interval in bounds.items()}
    high = {key: interval.high for key, interval in bounds.items()}
    table = table.assign(low=table.index.map(low), high=table.index.map(high))
    columns = ["mean", "sd", "low", "high", "found_mean", "n", "n_missed", "n_spurious", "seeds"]
    return table[columns].reset_index()


def scores_of(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a summary as plain values for JSON, ``None`` where there is no number."""
    plain = summary.astype(object).where(summary.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def _values(cases: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows that count for a metric: ``value``, and ``found`` where both have it."""
    value = METRICS[metric].values(cases) * METRICS[metric].factor
    missed, spurious = cases["missed"].astype(bool), cases["spurious"].astype(bool)
    if metric.startswith("vcdr"):
        missed = cases["vcdr"].isna() & cases["true_vcdr"].notna()
        spurious = missed & False
    found = value.where(~missed & ~spurious, np.nan)
    rows = cases[["structure", "variant", "seed", *IMAGE]].assign(
        metric=metric, value=value, found=found, missed=missed, spurious=spurious
    )
    return rows[value.notna() | missed]
