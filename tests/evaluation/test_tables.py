import numpy as np
import pandas as pd
import pytest

from tvseg.evaluation.tables import layout, summarise, to_markdown


@pytest.fixture
def cases() -> pd.DataFrame:
    """Two variants, two centres, two seeds of one variant, and one missed cup."""
    rng = np.random.default_rng(0)
    variants = (("tvconv", (0, 1)), ("dense", (0,)))
    places = [
        (v, s, h, k) for v, seeds in variants for s in seeds for h in "AD" for k in ("cup", "disc")
    ]
    rows = [
        {"variant": v, "seed": s, "centre": h, "structure": k, "case": f"c{i}"}
        | {"dice": rng.uniform(0.5, 1), "hd95_px": rng.uniform(5, 50), "missed": False}
        for v, s, h, k in places
        for i in range(5)
    ]
    rows[0] |= {"dice": 0.0, "hd95_px": 1131.0, "missed": True}
    rows[1] |= {"dice": np.nan, "hd95_px": np.nan}
    return pd.DataFrame(rows)


def test_every_mean_is_that_of_the_rows(cases: pd.DataFrame) -> None:
    """An independent recomputation, one number at a time."""
    summary = summarise(cases)
    assert len(summary) == 2 * 2 * 2 * 2
    for row in summary.to_dict("records"):
        column, factor = {"DSC": ("dice", 100), "HD95": ("hd95_px", 1)}[row["metric"]]
        mine = cases
        for key in ("variant", "centre", "structure"):
            mine = mine[mine[key] == row[key]]
        of_seeds = [mine[mine.seed == seed][column].mean() * factor for seed in mine.seed.unique()]
        assert row["mean"] == pytest.approx(np.mean(of_seeds))
        assert row["n"] == mine[column].notna().sum()
        assert row["n_missed"] == mine.missed.sum()
        if len(of_seeds) > 1:
            assert row["sd"] == pytest.approx(np.std(of_seeds, ddof=1))
        else:
            assert np.isnan(row["sd"])


def test_the_table_is_laid_out_like_the_papers(cases: pd.DataFrame) -> None:
    table = layout(summarise(cases))
    assert list(table.columns) == ["Metric", "Task", "Centre", "n", "dense", "tvconv"]
    places = [tuple(row) for row in table[["Metric", "Task", "Centre"]].to_numpy()]
    block = [("OC", "A"), ("OC", "D"), ("OD", "A"), ("OD", "D"), ("mean", "")]
    assert places == [(metric, *place) for metric in ("DSC", "HD95") for place in block]
    assert table.loc[0, "tvconv"].endswith("(1 of 9 missed)")
    assert "±" in table.loc[0, "tvconv"]
    assert "±" not in table.loc[0, "dense"]
    assert table.loc[0, "n"] == "9"  # over both seeds, less one that lacks a cup altogether
    means = [float(cell) for cell in table["dense"][:4]]
    assert float(table.loc[4, "dense"]) == pytest.approx(np.mean(means), abs=0.01)


def test_a_variant_without_all_centres_gets_no_mean(cases: pd.DataFrame) -> None:
    table = layout(summarise(cases.query("variant == 'tvconv' or centre == 'A'")))
    assert table.loc[1, "dense"] == ""
    assert table.loc[4, "dense"] == ""
    assert table.loc[4, "tvconv"] != ""


def test_markdown_has_caption_and_all_rows(cases: pd.DataFrame) -> None:
    table = layout(summarise(cases))
    text = to_markdown(table, "Caption.")
    assert text.startswith("Caption.\n\n| Metric |")
    assert len(text.splitlines()) == 2 + 2 + len(table)


def test_the_mean_mask_of_several_runs_counts_once(cases: pd.DataFrame) -> None:
    shared = cases.query("variant == 'dense'").assign(variant="mean mask")
    summary = summarise(pd.concat([cases, shared, shared.assign(seed=1), shared]))
    mine = summary.query("variant == 'mean mask'")
    assert set(mine["n"]) == {5}
    assert set(mine["seeds"]) == {1}
    dense = summary.query("variant == 'dense'")
    assert mine["mean"].tolist() == dense["mean"].tolist()
