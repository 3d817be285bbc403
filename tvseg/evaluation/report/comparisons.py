"""The section of a chapter that compares every two variants."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from tvseg.evaluation.report.chapter import Illustration, Section
from tvseg.evaluation.report.figures import (
    DRAWN,
    SIGNIFICANT,
    difference_plot,
    pair_scatter,
    stem,
)
from tvseg.evaluation.report.groups import Group
from tvseg.evaluation.schema import METRICS
from tvseg.evaluation.tables.differences import differences, mean_differences
from tvseg.evaluation.tables.layout import SHORT, with_interval
from tvseg.evaluation.tables.table import Table


def comparison_section(group: Group) -> Section:
    """Return tests, effect sizes, differences and scatter plots of every two networks."""
    title = "Variants compared"
    networks = group.networks
    if len(networks) < 2:
        return Section(title, ["There is one variant; nothing to compare it with."])
    table = differences(group.cases, DRAWN, networks)
    if not table["n"].any():
        return Section(title, ["No two variants have scored the same images."])
    drawn = [
        Illustration(
            f"differences-{stem(metric)}",
            f"Mean difference of {METRICS[metric].name} over images, with bootstrap 95 % interval. "
            f"Filled marks: p after Holm below {SIGNIFICANT}.",
            f"Intervals of the differences of {METRICS[metric].name} between "
            f"{', '.join(networks)}, by structure and centre; the numbers are in the table above.",
            difference_plot(table[table["metric"] == metric], metric, group.centres),
        )
        for metric in DRAWN
    ]
    for metric in DRAWN:
        drawn += _scatters(group, table, metric)
    words = [
        "Each image is averaged over the seeds of a variant first; two variants are then compared "
        "on the images that both have scored, structure by structure and centre by centre. "
        "p: Wilcoxon's signed-rank test, two-sided; Holm: corrected over all structures, centres "
        "and pairs of a metric. Effect: matched-pairs rank-biserial correlation, from -1 to 1, "
        "positive where the first has the larger values. Bold: below 0.05 after correction.",
    ]
    overall = _overall(mean_differences(group.cases, DRAWN, networks))
    return Section(title, words, [overall, _tests(table)], drawn)


def _scatters(group: Group, table: pd.DataFrame, metric: str) -> list[Illustration]:
    name = METRICS[metric].name
    better = "above" if METRICS[metric].best == "highest" else "below"
    compared = table[(table["metric"] == metric) & (table["n"] > 0)]
    pairs = compared[["first", "second"]].drop_duplicates().to_numpy().tolist()
    return [
        Illustration(
            f"scatter-{stem(metric)}-{first}-{second}",
            f"{name} of every image: {first} against {second}; {better} the line {first} is "
            "better.",
            f"Scatter plot of {name} of {first} against {second}, a dot an image, marked by "
            "centre, a panel a structure.",
            pair_scatter(group.cases, metric, (second, first), group.centres),
        )
        for first, second in pairs
    ]


def _overall(table: pd.DataFrame) -> Table:
    rows = [
        {
            "Metric": _metric_with_unit(row),
            "Pair": f"{row['first']} vs {row['second']}",
            "Centres": row["centres"],
            "Images": row["n"],
            "Difference": _difference(row),
        }
        for row in table.to_dict("records")
    ]
    return Table.of(
        "Mean paired differences over all structures and centres, first less second. Centres count "
        "alike; for the interval, images are drawn anew within each.",
        pd.DataFrame(rows),
        numbers=table,
        heads=2,
        name="mean-differences",
    )


def _metric_with_unit(row: Mapping[Hashable, Any]) -> str:
    about = METRICS[row["metric"]]
    return f"{about.name}, {about.unit}" if about.unit else about.name


def _difference(row: Mapping[Hashable, Any]) -> str:
    about = METRICS[row["metric"]]
    form = f"+.{about.digits}f"
    gain, low, high = (about.factor * row[key] for key in ("difference", "low", "high"))
    return with_interval(f"{gain:{form}}", low, high, form)


def _tests(table: pd.DataFrame) -> Table:
    rows, bold = [], set()
    for number, row in enumerate(table[table["n"] > 0].to_dict("records")):
        rows.append(
            {
                "Metric": _metric_with_unit(row),
                "Task": SHORT.get(row["structure"], row["structure"]),
                "Centre": row["centre"],
                "Pair": f"{row['first']} vs {row['second']}",
                "Images": row["n"],
                "Difference": _difference(row),
                "Effect": f"{row['effect']:+.2f}",
                "p": _p(row["p"]),
                "p, Holm": _p(row["p_holm"]),
            }
        )
        if row["p_holm"] < SIGNIFICANT:
            bold |= {(number, "Difference"), (number, "p, Holm")}
    return Table.of(
        "Paired differences, first less second, in the units of the tables.",
        pd.DataFrame(rows),
        numbers=table,
        heads=4,
        bold=bold,
        name="comparisons",
    )


def _p(value: float) -> str:
    if pd.isna(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
