"""The table of Dice and Hausdorff distance, computed from rows of cases."""

from collections.abc import Sequence

import pandas as pd

METRICS = {"dice": ("DSC", 100.0), "hd95_px": ("HD95", 1.0)}  # column -> name, factor
ORDER = ("mean mask", "dense", "depthwise", "tvconv")
SHORT = {"cup": "OC", "disc": "OD"}
KEYS = ["metric", "structure", "centre", "variant"]


def summarise(cases: pd.DataFrame) -> pd.DataFrame:
    """Means over images, then over seeds.

    Args:
        cases: Rows of ``cases.csv`` files, of any number of runs.

    Returns:
        A row per metric, structure, centre and variant: ``mean`` (DSC in %, HD95 in px at 800),
        ``sd`` over seeds (nan for one), ``n`` scored and ``n_missed`` missed structures over all
        seeds, ``seeds``.
    """
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
        ``n`` is the number of scored images over all seeds, the largest over the variants. A last
        row a metric gives the mean over the rows above, where a variant has them all.
    """
    variants = _ordered(summary["variant"].unique())
    rows = []
    for metric, of_metric in summary.groupby("metric", sort=False):
        for (structure, centre), cell in of_metric.groupby(["structure", "centre"], sort=True):
            by_variant = cell.set_index("variant")
            rows.append(
                {"Metric": metric, "Task": SHORT.get(structure, structure), "Centre": centre,
                 "n": str(cell["n"].max())}
                | {v: _cell(by_variant.loc[v]) if v in by_variant.index else "" for v in variants}
            )  # fmt: skip
        means = of_metric.groupby("variant")["mean"].agg(["mean", "size"])
        complete = means["size"].max()
        rows.append(
            {"Metric": metric, "Task": "mean", "Centre": "", "n": ""}
            | {
                v: f"{means.loc[v, 'mean']:.2f}" if means.loc[v, "size"] == complete else ""
                for v in variants
            }
        )
    return pd.DataFrame(rows)


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A laid out table as Markdown, its caption before it."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in table.itertuples(index=False)]
    return f"{caption}\n\n" + "\n".join(lines) + "\n"


def _cell(row: pd.Series) -> str:
    text = f"{row['mean']:.2f}"
    if row["seeds"] > 1:
        text += f" ± {row['sd']:.2f}"
    return f"{text} ({row['n_missed']} missed)" if row["n_missed"] else text


def _ordered(variants: Sequence[str]) -> list[str]:
    known = [variant for variant in ORDER if variant in variants]
    return known + sorted(set(variants) - set(known))
