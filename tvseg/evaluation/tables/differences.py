"""How much variants differ, and how sure that is."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from tvseg.evaluation.schema import IMAGE
from tvseg.evaluation.tables.statistics import (
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
