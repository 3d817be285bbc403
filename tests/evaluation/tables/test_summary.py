import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tvseg.evaluation.schema import METRICS
from tvseg.evaluation.tables.statistics import bootstrap_interval
from tvseg.evaluation.tables.summary import scores_of, summarise


def make_cases() -> pd.DataFrame:
    """Rows of two variants, two centres, and two seeds of one variant, with all that may happen.

    The first image of ``tvconv`` lacks its cup in one seed, the second has a spurious one, the
    third has a cup in neither mask.
    """
    rng = np.random.default_rng(0)
    seeds = {"tvconv": (0, 1), "dense": (0,)}
    scored = [name for name in METRICS if not name.startswith("vcdr")]
    ratios = ("vcdr", "true_vcdr", "vcdr_box", "true_vcdr_box")
    rows: list[dict[str, object]] = []
    for variant, centre, i, structure in itertools.product(seeds, "AD", range(6), ("cup", "disc")):
        for seed in seeds[variant]:
            row: dict[str, object] = {"variant": variant, "seed": seed, "centre": centre}
            row |= {"split": "test", "case": f"c{i}", "structure": structure}
            row |= {"missed": False, "spurious": False}
            row |= {name: rng.uniform(0.5, 1) for name in scored}
            row |= {name: rng.uniform(0.3, 0.7) for name in ratios}
            if structure == "disc":
                row |= dict.fromkeys(ratios, math.nan)
            rows.append(row)
    cases = pd.DataFrame(rows)
    place = (cases.variant == "tvconv") & (cases.centre == "A") & (cases.structure == "cup")
    first_seed = place & (cases.seed == 0)
    cases.loc[first_seed & (cases.case == "c0"), ["missed", "dice", "vcdr"]] = [True, 0.0, math.nan]
    cases.loc[first_seed & (cases.case == "c1"), ["spurious", "dice"]] = [True, 0.0]
    cases.loc[place & (cases.case == "c2"), ["dice", "hd95_px", *ratios]] = math.nan
    return cases


@pytest.fixture
def cases() -> pd.DataFrame:
    return make_cases()


def test_every_number_is_that_of_the_rows(cases: pd.DataFrame, tmp_path: Path) -> None:
    """An independent recomputation from the file, one number at a time."""
    cases.to_csv(tmp_path / "cases.csv", index=False)
    rows = pd.read_csv(tmp_path / "cases.csv")
    rows["vcdr_error"] = (rows.vcdr - rows.true_vcdr).abs()
    rows["vcdr_bias"] = rows.vcdr - rows.true_vcdr
    metrics = {"dice": 100, "hd95_px": 1, "surface_dice_5": 100, "vcdr_error": 1, "vcdr_bias": 1}
    summary = summarise(cases, metrics=list(metrics))
    assert len(summary) == 3 * 8 + 2 * 4
    for row in summary.to_dict("records"):
        mine = rows.query(
            "variant == @row['variant'] and centre == @row['centre'] "
            "and structure == @row['structure']"
        )
        values = mine[row["metric"]] * metrics[row["metric"]]
        of_seeds = values.groupby(mine.seed).mean()
        assert row["mean"] == pytest.approx(of_seeds.mean())
        assert row["seeds"] == len(of_seeds)
        assert (
            row["sd"] == pytest.approx(np.std(of_seeds, ddof=1), nan_ok=True) or len(of_seeds) < 2
        )
        images = values.groupby(mine.case).mean()
        assert (row["low"], row["high"]) == pytest.approx(bootstrap_interval(images))
        assert row["low"] < row["mean"] < row["high"]


def test_missed_structures_are_charged_and_counted_and_left_out_beside(
    cases: pd.DataFrame,
) -> None:
    summary = summarise(cases).set_index(["metric", "variant", "centre", "structure"])
    dice = summary.loc[("dice", "tvconv", "A", "cup")]
    assert (dice["n"], dice["n_missed"], dice["n_spurious"]) == (10, 1, 1)
    mine = cases.query("variant == 'tvconv' and centre == 'A' and structure == 'cup'")
    found = mine[~mine.missed & ~mine.spurious]
    assert dice["found_mean"] == pytest.approx(100 * found.groupby("seed").dice.mean().mean())
    assert dice["found_mean"] > dice["mean"] + 10
    other = summary.loc[("dice", "dense", "A", "cup")]
    assert (other["n"], other["n_missed"]) == (6, 0)
    assert other["found_mean"] == pytest.approx(other["mean"])


def test_a_ratio_without_a_disc_is_counted_and_left_out(cases: pd.DataFrame) -> None:
    summary = summarise(cases).set_index(["metric", "variant", "centre", "structure"])
    ratio = summary.loc[("vcdr_error", "tvconv", "A", "cup")]
    assert (ratio["n"], ratio["n_missed"], ratio["n_spurious"]) == (10, 1, 0)
    assert ratio["mean"] == pytest.approx(ratio["found_mean"])
    assert ("vcdr_error", "tvconv", "A", "disc") not in summary.index


def test_the_mean_mask_of_several_runs_counts_once(cases: pd.DataFrame) -> None:
    shared = cases.query("variant == 'dense'").assign(variant="mean mask")
    summary = summarise(pd.concat([cases, shared, shared.assign(seed=1), shared]), metrics=["dice"])
    mine = summary.query("variant == 'mean mask'")
    assert set(mine["n"]) == {6}
    assert set(mine["seeds"]) == {1}
    dense = summary.query("variant == 'dense'")
    assert mine["mean"].tolist() == dense["mean"].tolist()


def test_images_of_one_name_in_two_splits_both_count(cases: pd.DataFrame) -> None:
    both = pd.concat([cases, cases.assign(split="train", dice=1.0)])
    summary = summarise(both, metrics=["dice"]).set_index(["variant", "centre", "structure"])
    assert summary.loc[("dense", "D", "disc"), "n"] == 12


def test_scores_are_json_without_nan(cases: pd.DataFrame) -> None:
    scores = scores_of(summarise(cases, metrics=["dice"]))
    tree = json.loads(json.dumps(scores, allow_nan=False))
    assert {row["variant"]: row["sd"] for row in tree}["dense"] is None
    assert tree[0]["n"] == 10
