"""How much variants differ, and how sure that is."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tvseg.evaluation.schema import IMAGE
from tvseg.evaluation.tables.statistics import (
    Interval,
    bootstrap_interval,
    compare_variants,
    per_image,
    stratified_interval,
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
    wide = {metric: _by_variant(cases, metric) for metric in metrics}
    bounds = [_interval(wide[row["metric"]], row) for row in table.to_dict("records")]
    table["low"] = [interval.low for interval in bounds]
    table["high"] = [interval.high for interval in bounds]
    return table


def _interval(wide: pd.DataFrame, row: Mapping[Hashable, Any]) -> Interval:
    """Return the interval of the mean of first minus second in one row of a comparison."""
    gains = (wide[row["first"]] - wide[row["second"]]).reset_index()
    here = (gains["structure"] == row["structure"]) & (gains["centre"] == row["centre"])
    return bootstrap_interval(gains.loc[here, 0].to_numpy())


def _by_variant(cases: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a row for each structure and image, a column for each variant."""
    return per_image(cases, metric).pivot(
        index=["structure", *IMAGE], columns="variant", values="value"
    )


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
        values = _by_variant(cases, metric)
        for first, second in itertools.combinations(reversed(networks), 2):
            gains = (values[first] - values[second]).dropna().groupby([*IMAGE]).mean()
            samples = [here.to_numpy() for _, here in gains.groupby("centre")]
            if not samples:
                continue
            low, high = stratified_interval(samples)
            names = {"metric": metric, "first": first, "second": second}
            rows.append(
                names
                | {"n": len(gains), "centres": len(samples)}
                | {"difference": float(np.mean([*map(np.mean, samples)])), "low": low, "high": high}
            )
    return pd.DataFrame(rows)
