"""How much variants differ, and how sure that is."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tvseg.evaluation.schema import IMAGE
from tvseg.evaluation.tables.statistics import (
    RESAMPLES,
    Interval,
    bootstrap_interval,
    compare_variants,
    per_image,
)


def differences(
    cases: pd.DataFrame, metrics: Sequence[str], networks: Sequence[str]
) -> pd.DataFrame:
    """Compare every two networks, the later in order first, so that gains over it are positive.

    Args:
        cases: Rows of ``cases.csv`` files.
        metrics: Keys of :data:`tvseg.evaluation.schema.METRICS`.
        networks: Variants to compare, in the order of tables.

    Returns:
        The rows of :func:`tvseg.evaluation.tables.statistics.compare_variants` with ``low`` and
        ``high`` added: the bootstrap interval of the mean difference over images.
    """
    table = compare_variants(cases, metrics=metrics, variants=list(reversed(networks)))
    wide = {
        metric: per_image(cases, metric).pivot(
            index=["structure", *IMAGE], columns="variant", values="value"
        )
        for metric in metrics
    }
    bounds = [_interval(wide[row["metric"]], row) for row in table.to_dict("records")]
    table["low"] = [interval.low for interval in bounds]
    table["high"] = [interval.high for interval in bounds]
    return table


def _interval(wide: pd.DataFrame, row: Mapping[Hashable, Any]) -> Interval:
    """Return the interval of the mean of first minus second in one row of a comparison."""
    gains = (wide[row["first"]] - wide[row["second"]]).reset_index()
    here = (gains["structure"] == row["structure"]) & (gains["centre"] == row["centre"])
    return bootstrap_interval(gains.loc[here, 0].to_numpy())


def mean_differences(
    cases: pd.DataFrame, metrics: Sequence[str], networks: Sequence[str]
) -> pd.DataFrame:
    """Compare every two networks over all structures and centres, each centre of equal weight.

    Args:
        cases: Rows of ``cases.csv`` files.
        metrics: Keys of :data:`tvseg.evaluation.schema.METRICS`.
        networks: Variants to compare, in the order of tables.

    Returns:
        A row per metric and pair, the later network first: ``metric``, ``first``, ``second``, ``n``
        images, ``centres``, ``difference`` (in the rows' unit; each image averaged over seeds and
        structures), and ``low`` and ``high``, the bootstrap 95 % interval for which images are
        drawn anew within each centre. Pairs without a common image are left out.
    """
    rows = []
    for metric in metrics:
        values = per_image(cases, metric).pivot(
            index=["structure", *IMAGE], columns="variant", values="value"
        )
        for first, second in itertools.combinations(reversed(networks), 2):
            gains = (values[first] - values[second]).dropna().groupby([*IMAGE]).mean()
            samples = [here.to_numpy() for _, here in gains.groupby("centre")]
            if not samples:
                continue
            low, high = _stratified_interval(samples)
            names = {"metric": metric, "first": first, "second": second}
            rows.append(
                names
                | {"n": len(gains), "centres": len(samples)}
                | {"difference": float(_mean_of_means(*samples)), "low": low, "high": high}
            )
    return pd.DataFrame(rows)


def _mean_of_means(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean([sample.mean(axis=axis) for sample in samples], axis=0))


def _stratified_interval(samples: Sequence[np.ndarray]) -> Interval:
    if min(map(len, samples)) < 2:
        return Interval(np.nan, np.nan)
    found = stats.bootstrap(
        samples,
        _mean_of_means,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))
