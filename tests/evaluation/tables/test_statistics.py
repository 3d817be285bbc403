import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tvseg.evaluation.tables.statistics import (
    bootstrap_interval,
    compare_variants,
    holm,
    per_image,
    rank_biserial,
)


def test_the_interval_is_that_of_a_mean() -> None:
    """Against the normal theory, which a mean of many values follows."""
    values = np.random.default_rng(1).normal(0.8, 0.1, 400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-3)
    narrow = bootstrap_interval(values, level=0.5)
    assert low < narrow.low < narrow.high < high


def test_the_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = sum(
        low <= 0.75 <= high
        for low, high in (bootstrap_interval(rng.beta(3, 1, 40), resamples=400) for _ in range(300))
    )
    assert 0.90 < hits / 300 < 0.98


def test_the_interval_depends_on_values_and_seed_alone() -> None:
    values = [0.1, 0.5, 0.6, 0.9, 0.2]
    assert bootstrap_interval(values) == bootstrap_interval([*values, math.nan])
    other = bootstrap_interval(values, resamples=99, seed=1)
    assert bootstrap_interval(values, resamples=99) != other
    assert bootstrap_interval([0.5] * 4) == (0.5, 0.5)
    for few in ([], [1.0], [math.nan, 1.0]):
        assert all(map(math.isnan, bootstrap_interval(few)))


def test_wrong_arguments_of_the_interval_are_named() -> None:
    for values, wrong in (
        ([[1.0, 2.0]], {}),
        ([1.0], {"resamples": 0}),
        ([1.0], {"level": 1.0}),
    ):
        with pytest.raises(ValueError, match="a bootstrap interval takes"):
            bootstrap_interval(values, **wrong)  # type: ignore[arg-type]  # the error is the point


def test_holm_rejects_what_the_stepwise_procedure_rejects() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        p_values = rng.random(rng.integers(1, 9)) ** 3
        level, rejected = 0.05, set()
        for step, index in enumerate(np.argsort(p_values)):
            if p_values[index] > level / (len(p_values) - step):
                break
            rejected.add(int(index))
        assert set(np.flatnonzero(holm(p_values) <= level)) == rejected
    assert holm(np.array([0.02, math.nan, 0.01]))[[0, 2]].tolist() == [0.02, 0.02]


def test_the_effect_is_the_share_of_ranks_that_favour_one_side() -> None:
    rng = np.random.default_rng(4)
    differences = rng.normal(0.3, 1, 25)
    ranks = stats.rankdata(np.abs(differences))
    favourable, total = ranks[differences > 0].sum(), ranks.sum()
    assert rank_biserial(differences) == pytest.approx((2 * favourable - total) / total)
    assert rank_biserial(np.array([1.0, 2.0])) == 1
    assert rank_biserial(np.zeros(3)) == 0


@pytest.fixture
def cases() -> pd.DataFrame:
    """Three variants of 12 images; the best one has two seeds. Two centres, two structures."""
    rng = np.random.default_rng(5)
    level = {"dense": 0.0, "depthwise": 0.0, "tvconv": 0.2}
    rows = [
        {"variant": v, "seed": seed, "structure": s, "centre": c, "split": "test", "case": f"{i}"}
        | {"dice": rng.uniform(0.3, 0.6) + level[v], "hd95_px": rng.uniform(5, 50)}
        for c, s, i, v in itertools.product("AB", ("cup", "disc"), range(12), level)
        for seed in ((0, 1) if v == "tvconv" else (0,))
    ]
    return pd.DataFrame(rows)


def test_each_image_counts_once_however_many_seeds(cases: pd.DataFrame) -> None:
    table = compare_variants(cases, metrics=["dice"], variants=["tvconv", "dense"])
    assert len(table) == 2 * 2
    for row in table.to_dict("records"):
        here = cases[(cases.structure == row["structure"]) & (cases.centre == row["centre"])]
        tvconv = here[here.variant == "tvconv"].groupby("case").dice.mean()
        dense = here[here.variant == "dense"].set_index("case").dice
        difference = (tvconv - dense).to_numpy()
        assert row["n"] == 12
        assert row["difference"] == pytest.approx(difference.mean())
        assert row["p"] == pytest.approx(stats.wilcoxon(difference).pvalue)
        assert row["effect"] > 0.7


def test_holm_runs_over_structures_centres_and_pairs_of_one_metric(cases: pd.DataFrame) -> None:
    table = compare_variants(cases)
    assert table.groupby("metric", sort=False).size().to_dict() == {"dice": 12, "hd95_px": 12}
    for _, family in table.groupby("metric"):
        assert family["p_holm"].to_numpy() == pytest.approx(holm(family["p"].to_numpy()))
        assert family["p_holm"].min() == pytest.approx(min(1, 12 * family["p"].min()))


def test_images_that_one_variant_lacks_are_left_out(cases: pd.DataFrame) -> None:
    gone = (cases["case"] == "3") & (cases["variant"] == "dense") & (cases["centre"] == "A")
    nowhere = (cases["variant"] == "depthwise") & (cases["centre"] == "B")
    cases.loc[(cases["case"] == "4") & (cases["centre"] == "A"), "dice"] = math.nan
    table = compare_variants(cases[~gone & ~nowhere], metrics=["dice"]).set_index(
        ["centre", "structure", "first", "second"]
    )
    assert table.loc[("A", "cup", "dense", "tvconv"), "n"] == 10
    assert table.loc[("A", "cup", "depthwise", "tvconv"), "n"] == 11
    lacking = table.loc[("B", "cup", "dense", "depthwise")]
    assert lacking["n"] == 0
    assert math.isnan(lacking["p"])
    assert math.isnan(lacking["p_holm"])


def test_images_of_one_name_in_two_splits_are_two(cases: pd.DataFrame) -> None:
    both = pd.concat([cases, cases.assign(split="train")])
    assert set(compare_variants(both, metrics=["dice"])["n"]) == {24}


def test_equal_variants_do_not_differ(cases: pd.DataFrame) -> None:
    twin = cases[cases.variant == "dense"].assign(variant="twin")
    table = compare_variants(pd.concat([cases, twin]), variants=["dense", "twin"])
    assert set(table["p"]) == set(table["p_holm"]) == {1.0}
    assert set(table["effect"]) == {0.0}


def test_unknown_metrics_and_variants_are_named(cases: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"one of dice, .*got 'iou'"):
        per_image(cases, "iou")
    with pytest.raises(ValueError, match=r"ours has none; there are dense, depthwise, tvconv"):
        compare_variants(cases, variants=["dense", "ours"])
