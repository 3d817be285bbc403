"""The table of Dice and Hausdorff distance, computed from rows of cases."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

METRICS = {"dice": ("DSC", 100.0), "hd95_px": ("HD95", 1.0)}  # column -> name, factor
MEAN_MASK = "mean mask"
ORDER = (MEAN_MASK, "dense", "depthwise", "tvconv")
SHORT = {"cup": "OC", "disc": "OD"}
KEYS = ["metric", "structure", "centre", "variant"]


def summarise(cases: pd.DataFrame) -> pd.DataFrame:
    """Means over images, then over seeds.

    Args:
        cases: Rows of ``cases.csv`` files, of any number of runs.

    Returns:
        A row per metric, structure, centre and variant: ``mean`` (DSC in %, HD95 in px at 800),
        ``sd`` over seeds (nan for one), ``n`` scored and ``n_missed`` missed structures over all
        seeds, ``seeds``. The mean mask, which runs of one
        hold-out share, counts once.
    """
    cases = cases.assign(seed=cases["seed"].where(cases["variant"] != MEAN_MASK, 0))
    cases = cases.drop_duplicates(["variant", "seed", "centre", "structure", "case"])
    long = cases.melt(
        id_vars=["variant", "seed", "centre", "structure", "case", "missed"],
        value_vars=list(METRICS),
        var_name="column",
    )
    long["metric"] = long["column"].map({column: name for column, (name, _) in METRICS.items()})
    long["value"] *= long["column"].map({column: factor for column, (_, factor) in METRICS.items()})
    by_seed = long.groupby([*KEYS, "seed"], sort=False).agg(
        mean=("value", "mean"), n=("value", "count"), n_missed=("missed", "sum")
    )
    return (
        by_seed.groupby(KEYS, sort=False)
        .agg(
            mean=("mean", "mean"),
            sd=("mean", "std"),
            n=("n", "sum"),
            n_missed=("n_missed", "sum"),
            seeds=("mean", "size"),
        )
        .reset_index()
    )


def layout(summary: pd.DataFrame) -> pd.DataFrame:
    """Lay a summary out like the paper's Table 2: a row per metric, structure and centre.

    Args:
        summary: Result of :func:`summarise`.

    Returns:
        Columns ``Metric``, ``Task``, ``Centre``, ``n``, then one a variant. Cells are text: the
        mean, the standard deviation over seeds where there are several, and how many were missed.
        ``n`` is the largest over the variants. A last
        row a metric gives the mean over the rows above, where a variant has them all.
    """
    variants = _ordered(summary["variant"].unique().tolist())
    rows: list[dict[str, str]] = []
    for metric in summary["metric"].unique().tolist():
        of_metric = summary[summary["metric"] == metric]
        places = (
            of_metric[["structure", "centre"]]
            .drop_duplicates()
            .sort_values(["structure", "centre"])
        )
        for structure, centre in places.to_numpy().tolist():
            here = of_metric[
                (of_metric["structure"] == structure) & (of_metric["centre"] == centre)
            ]
            row = {"Metric": metric, "Task": SHORT.get(structure, structure), "Centre": centre}
            cells = {record["variant"]: _cell(record) for record in here.to_dict("records")}
            rows.append(row | {"n": str(here["n"].max())} | {v: cells.get(v, "") for v in variants})
        foot = {"Metric": metric, "Task": "mean", "Centre": "", "n": ""}
        rows.append(foot | {v: _mean(of_metric, v, len(places)) for v in variants})
    return pd.DataFrame(rows)


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A laid out table as Markdown, its caption before it."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in table.to_numpy().tolist()]
    return f"{caption}\n\n" + "\n".join(lines) + "\n"


def _cell(record: Mapping[Hashable, Any]) -> str:
    text = f"{record['mean']:.2f}"
    if record["seeds"] > 1:
        text += f" ± {record['sd']:.2f}"
    missed = f" ({record['n_missed']} of {record['n']} missed)"
    return text + missed if record["n_missed"] else text


def _mean(of_metric: pd.DataFrame, variant: str, complete: int) -> str:
    means = of_metric.loc[of_metric["variant"] == variant, "mean"]
    return f"{means.mean():.2f}" if len(means) == complete else ""


def _ordered(variants: Sequence[str]) -> list[str]:
    known = [variant for variant in ORDER if variant in variants]
    return known + sorted(set(variants) - set(known))
