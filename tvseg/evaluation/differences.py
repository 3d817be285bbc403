"""How much variants differ, and how sure that is."""

import itertools
from collections.abc import Sequence

import pandas as pd

from tvseg.evaluation.columns import IMAGE
from tvseg.evaluation.statistics import bootstrap_interval, compare_variants, per_image


def differences(cases: pd.DataFrame, metrics: Sequence[str], networks: Sequence[str]) -> pd.DataFrame:
    """Compare every two networks, the later in order first, so that gains over it are positive.

    Args:
        cases: Rows of ``cases.csv`` files.
        metrics: Keys of :data:`tvseg.evaluation.columns.METRICS`.
        networks: Variants to compare, in the order of tables.

    Returns:
        The rows of :func:`tvseg.evaluation.statistics.compare_variants` with ``low`` and ``high``
        added: the bootstrap interval of the mean difference over images.
    """
    table = compare_variants(cases, metrics=metrics, variants=list(reversed(networks)))
    bounds = {}
    for metric in metrics:
        values = per_image(cases, metric)
        keys = ["structure", *IMAGE]
        wide = values.pivot(index=keys, columns="variant", values="value")
        for first, second in itertools.combinations(reversed(networks), 2):
            gains = (wide[first] - wide[second]).dropna()
            for (structure, centre), own in gains.groupby(["structure", "centre"]):
                interval = bootstrap_interval(own.to_numpy())
                bounds[metric, structure, centre, first, second] = interval
    places = list(zip(*(table[key] for key in ("metric", "structure", "centre", "first", "second"))))
    nothing = (float("nan"), float("nan"))
    table["low"] = [bounds.get(place, nothing)[0] for place in places]
    table["high"] = [bounds.get(place, nothing)[1] for place in places]
    return table
