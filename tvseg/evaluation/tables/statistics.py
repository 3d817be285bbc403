"""How sure a mean is, and whether one variant beats another: over images, never over pixels."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from tvseg.errors import UserError
from tvseg.evaluation.schema import IMAGE, METRICS

RESAMPLES = 2000


class Interval(NamedTuple):
    """Bounds of a confidence interval."""

    low: float
    high: float


def bootstrap_interval(
    values: Sequence[float] | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Return a percentile bootstrap interval of a mean over images.

    Args:
        values: One value an image; nan is left out.
        seed: Random seed of the resampling.
        resamples: Number of resamples.
        level: Share of the resampled means between the bounds.

    Returns:
        The bounds; nan for fewer than two values, which have no spread.

    Raises:
        ValueError: ``values`` are not one-dimensional, ``resamples`` is below 1, or ``level`` is
            not between 0 and 1.

    Source: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1),
    1979, in the form of ``scipy.stats.bootstrap``.
    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or resamples < 1 or not 0 < level < 1:
        raise UserError(
            "a bootstrap interval takes values of one dimension, at least 1 resample and a level "
            f"between 0 and 1; got shape {sample.shape}, {resamples} resamples, level {level}"
        )
    return stratified_interval(
        [sample[~np.isnan(sample)]], seed=seed, resamples=resamples, level=level
    )


def stratified_interval(
    strata: Sequence[np.ndarray], *, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> Interval:
    """Return the interval of :func:`bootstrap_interval` of a mean over strata that count alike.

    Args:
        strata: Values of each, without nan; images are drawn anew within each.
        seed: Random seed of the resampling.
        resamples: Number of resamples.
        level: Share of the resampled means between the bounds.

    Returns:
        The bounds; nan where a stratum has fewer than two values.
    """
    if min(map(len, strata)) < 2:
        return Interval(np.nan, np.nan)
    found = stats.bootstrap(
        strata,
        _mean_of_means,
        n_resamples=resamples,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def _mean_of_means(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean([values.mean(axis=axis) for values in strata], axis=0))


def rank_biserial(differences: np.ndarray) -> float:
    """Return the matched-pairs rank-biserial correlation, the effect size of signed ranks.

    Args:
        differences: One value a pair; zeros are left out, as in the test.

    Returns:
        From -1 (all differences negative) to 1 (all positive); 0 when none differs.

    Source: D. S. Kerby, "The simple difference formula", Comprehensive Psychology 3, 2014,
    https://doi.org/10.2466/11.IT.3.1.

    Example:
        >>> rank_biserial(np.array([3.0, 2.0, -1.0, 0.0]))
        0.6666666666666666
    """
    differences = differences[differences != 0]
    if differences.size == 0:
        return 0.0
    ranks = stats.rankdata(np.abs(differences))
    return float(np.sum(np.sign(differences) * ranks) / np.sum(ranks))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p values corrected for their number, so that all together err at the level of one.

    Args:
        p_values: One a test; nan is a test that was not made.

    Returns:
        Corrected values in the same order.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6(2), 1979.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    corrected = np.array(p_values, dtype=float)
    order = np.argsort(corrected)[: np.count_nonzero(~np.isnan(corrected))]  # nan sorts last
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * corrected[order]))
    return corrected


def per_image(cases: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one value an image and variant: the mean over seeds.

    Args:
        cases: Rows of ``cases.csv`` files.
        metric: A key of :data:`tvseg.evaluation.schema.METRICS`.

    Returns:
        Columns ``variant``, ``structure``, ``centre``, ``split``, ``case``, ``value`` in the rows'
        unit; images without a value are left out.

    Raises:
        ValueError: An unknown metric.
    """
    if metric not in METRICS:
        raise UserError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    values = cases.assign(value=METRICS[metric].values(cases))
    keys = ["variant", "structure", *IMAGE]
    return values.groupby(keys, sort=False)["value"].mean().dropna().reset_index()


def compare_variants(
    cases: pd.DataFrame,
    *,
    metrics: Sequence[str] = ("dice", "hd95_px"),
    variants: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compare every two variants on the images that both have scored.

    Each image is averaged over seeds first, so that a seed more adds no image. Structures and
    centres are compared one by one; p values are corrected after Holm over all structures, centres
    and pairs of variants, within each metric.

    Args:
        cases: Rows of ``cases.csv`` files, of any number of runs.
        metrics: Keys of :data:`tvseg.evaluation.schema.METRICS`.
        variants: Which to compare, in this order; all by default. Fewer make a smaller family of
            tests: leave out the mean mask where only networks matter.

    Returns:
        A row per metric, structure, centre and pair: ``metric``, ``structure``, ``centre``,
        ``first``, ``second``, ``n`` images, ``difference`` (mean of first minus second, in the
        rows' unit), ``effect`` (matched-pairs rank-biserial correlation, positive where the first
        has the larger values), ``p`` (Wilcoxon signed ranks, two-sided) and ``p_holm``. A pair
        without a common image has nan.

    Raises:
        ValueError: An unknown metric, or a variant without rows.

    Source: J. Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7,
    2006; F. Wilcoxon, Biometrics Bulletin 1(6), 1945.
    """
    names = list(cases["variant"].unique()) if variants is None else list(variants)
    if unknown := sorted(set(names) - set(cases["variant"])):
        raise UserError(
            f"variants must have rows, {', '.join(unknown)} has none; "
            f"there are {', '.join(cases['variant'].unique())}"
        )
    compared = [_compare(per_image(cases, metric), metric, names) for metric in metrics]
    return pd.concat(compared, ignore_index=True)


def _compare(values: pd.DataFrame, metric: str, variants: Sequence[str]) -> pd.DataFrame:
    rows = []
    for (structure, centre), here in values.groupby(["structure", "centre"]):
        wide = here.pivot(index=["split", "case"], columns="variant", values="value")
        wide = wide.reindex(columns=list(variants))
        for first, second in itertools.combinations(variants, 2):
            differences = (wide[first] - wide[second]).dropna().to_numpy()
            names = {"metric": metric, "structure": structure, "centre": centre}
            rows.append(names | {"first": first, "second": second} | _test(differences))
    columns = ["metric", "structure", "centre", "first", "second"]
    table = pd.DataFrame(rows, columns=[*columns, "n", "difference", "effect", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=float)))


def _test(differences: np.ndarray) -> dict[str, float]:
    n = len(differences)
    if n == 0:
        return {"n": 0, "difference": np.nan, "effect": np.nan, "p": np.nan}
    same = not differences.any()  # scipy's statistic is 0 / 0 there
    return {
        "n": n,
        "difference": float(differences.mean()),
        "effect": rank_biserial(differences),
        "p": 1.0 if same else float(stats.wilcoxon(differences).pvalue),
    }
