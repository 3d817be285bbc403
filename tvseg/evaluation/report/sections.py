"""What a report says of a group's scores: tables, tests, distributions, agreement, failures."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from tvseg.evaluation.report.agreement import agreement, bland_altman, ratios
from tvseg.evaluation.report.figures import (
    DRAWN,
    SIGNIFICANT,
    box_plot,
    difference_plot,
    pair_scatter,
)
from tvseg.evaluation.report.groups import Group, caption
from tvseg.evaluation.report.page import Picture, Section, Sheet
from tvseg.evaluation.schema import MEAN_MASK, METRICS
from tvseg.evaluation.tables.differences import differences
from tvseg.evaluation.tables.summary import summarise
from tvseg.evaluation.tables.table import BOTH, SHORT, SHOWN, Cell, layout


def score_section(group: Group) -> Section:
    """The table of the paper with all metrics, and the intervals of its means."""
    summary = summarise(group.cases)
    rest = [metric for metric in METRICS if metric not in SHOWN]
    main = _scores("scores", summary, caption(group.runs, group.scoring), SHOWN)
    more = _scores("more-scores", summary, "All other metrics of the same scoring.", rest)
    return Section("Scores", tables=[main, _intervals(summary, group.variants), more])


def _scores(name: str, summary: pd.DataFrame, words: str, metrics: Sequence[str]) -> Sheet:
    table = layout(summary, words, metrics=metrics)
    rows = [
        {"Metric": line.metric, "Task": line.task, "Centre": line.centre}
        | {variant: _cell(cell) for variant, cell in zip(table.variants, line.cells, strict=True)}
        for line in table.lines
    ]
    best = frozenset(
        (number, variant)
        for number, line in enumerate(table.lines)
        for variant, cell in zip(table.variants, line.cells, strict=True)
        if cell and cell.is_best
    )
    feet = frozenset(number for number, line in enumerate(table.lines) if line.is_foot)
    own = summary[summary["metric"].isin(metrics)]
    return Sheet(name, table.caption, pd.DataFrame(rows), own, 3, best, feet)


def _intervals(summary: pd.DataFrame, variants: Sequence[str]) -> Sheet:
    rows = []
    own = summary[summary["metric"].isin(SHOWN)]
    for metric in SHOWN:
        places = own[own["metric"] == metric].groupby(["structure", "centre"])
        for (structure, centre), here in places:
            known = here.dropna(subset="mean").to_dict("records")
            cells = {row["variant"]: _bounded(metric, row) for row in known}
            head = {"Metric": _name(metric), "Task": _task(metric, str(structure))}
            head |= {"Centre": str(centre)}
            rows.append(head | {variant: cells.get(variant, "") for variant in variants})
    caption = (
        "The same means with bootstrap 95 % intervals (2000 resamples of the images, each averaged "
        "over seeds first): how far a mean would move on other images of the same centre."
    )
    return Sheet("intervals", caption, pd.DataFrame(rows), own, 3)


def comparison_section(group: Group) -> Section:
    """Every two networks on the same images: tests, effect sizes, differences, scatter plots."""
    networks = group.networks
    if len(networks) < 2:
        return Section("Variants compared", ["There is one variant; nothing to compare it with."])
    table = differences(group.cases, DRAWN, networks)
    if not table["n"].any():
        return Section("Variants compared", ["No two variants have scored the same images."])
    pictures = [
        Picture(
            f"differences-{_stem(metric)}",
            f"Mean difference of {METRICS[metric].name} over images, with bootstrap 95 % interval. "
            f"Filled marks: p after Holm below {SIGNIFICANT}.",
            f"Intervals of the differences of {METRICS[metric].name} between "
            f"{', '.join(networks)}, by structure and centre; the numbers are in the table above.",
            difference_plot(table[table["metric"] == metric], metric, group.centres),
        )
        for metric in DRAWN
    ]
    for metric in DRAWN:
        pictures += _scatters(group, table, metric)
    words = [
        "Each image is averaged over the seeds of a variant first; two variants are then compared "
        "on the images that both have scored, structure by structure and centre by centre. "
        "p: Wilcoxon's signed-rank test, two-sided; Holm: corrected over all structures, centres "
        "and pairs of a metric. Effect: matched-pairs rank-biserial correlation, from -1 to 1, "
        "positive where the first has the larger values. Bold: below 0.05 after correction.",
    ]
    return Section("Variants compared", words, [_tests(table)], pictures)


def _scatters(group: Group, table: pd.DataFrame, metric: str) -> list[Picture]:
    found = []
    name = METRICS[metric].name
    for first, second in table[["first", "second"]].drop_duplicates().to_numpy().tolist():
        own = table[(table["metric"] == metric) & (table["first"] == first)]
        if own[own["second"] == second]["n"].sum() == 0:
            continue
        better = "above" if METRICS[metric].best == "highest" else "below"
        found.append(
            Picture(
                f"scatter-{_stem(metric)}-{first}-{second}",
                f"{name} of every image: {first} against {second}; {better} the line {first} is "
                "better.",
                f"Scatter plot of {name} of {first} against {second}, a dot an image, marked by "
                "centre, a panel a structure.",
                pair_scatter(group.cases, metric, (second, first), group.centres),
            )
        )
    return found


def _tests(table: pd.DataFrame) -> Sheet:
    rows, bold = [], set()
    compared = table[table["n"] > 0].to_dict("records")
    for number, row in enumerate(compared):
        about = METRICS[row["metric"]]
        gain, low, high = (
            f"{about.factor * row[key]:+.{about.digits}f}" for key in ("difference", "low", "high")
        )
        rows.append(
            {
                "Metric": _name(row["metric"]),
                "Task": SHORT.get(row["structure"], row["structure"]),
                "Centre": row["centre"],
                "Pair": f"{row['first']} vs {row['second']}",
                "Images": str(row["n"]),
                "Difference": f"{gain} [{low}, {high}]",
                "Effect": f"{row['effect']:+.2f}",
                "p": _p(row["p"]),
                "p, Holm": _p(row["p_holm"]),
            }
        )
        if row["p_holm"] < SIGNIFICANT:
            bold |= {(number, "Difference"), (number, "p, Holm")}
    caption = "Paired differences, first less second, in the units of the tables."
    return Sheet("comparisons", caption, pd.DataFrame(rows), table, 4, frozenset(bold))


def distribution_section(group: Group) -> Section:
    """Box plots over every image."""
    pictures = [
        Picture(
            f"boxes-{_stem(metric)}",
            f"{METRICS[metric].name} of every image (dots, averaged over seeds), median, quartiles "
            "and "
            "whiskers up to 1.5 times their distance."
            + ("" if metric == "dice" else " Logarithmic axis; values below 1 px are drawn there."),
            f"Box plots of {METRICS[metric].name} by centre for {', '.join(group.variants)}, "
            "a panel a structure; the means are in the table of scores.",
            box_plot(group.cases, metric, group.variants),
        )
        for metric in DRAWN
    ]
    return Section("Every image", pictures=pictures)


def agreement_section(group: Group) -> Section:
    """Predicted against true vertical cup-to-disc ratio."""
    title = "Vertical cup-to-disc ratio"
    if ratios(group.cases).empty:
        return Section(title, ["No image has both a true and a predicted ratio."])
    table = agreement(group.cases, group.variants)
    text = pd.DataFrame(
        {
            "Variant": table["variant"],
            "Centre": table["centre"],
            "n": table["n"].astype(str),
            "MAE": [f"{value:.3f}" for value in table["mae"]],
            "Bias": [
                f"{row.bias:+.3f} [{row.bias_low:+.3f}, {row.bias_high:+.3f}]"
                for row in table.itertuples()
            ],
            "Limits of agreement": [
                f"{row.limit_low:+.3f} to {row.limit_high:+.3f}" for row in table.itertuples()
            ],
        }
    )
    words = [
        "REFUGE rule: the largest count of pixels in a column of the cup over that of the disc. "
        "Every image and seed is a row of its own. Bias: mean of prediction minus truth with its "
        "bootstrap 95 % interval over images; limits of agreement: bias ± 1.96 standard "
        "deviations, within which 19 of 20 differences are expected. Two experts differ by about "
        "0.08. Images without a predicted disc have no ratio and are not in here.",
    ]
    sheet = Sheet("vcdr", "Agreement of predicted and true ratios.", text, table, 2)
    pictures = [
        Picture(
            f"vcdr-{variant}",
            f"{variant}: predicted against true ratio (left), and Bland-Altman plot (right) with "
            "bias (solid) and 95 % limits of agreement (dashed) over all centres.",
            f"Scatter and Bland-Altman plot of the vertical cup-to-disc ratio of {variant}; bias "
            "and limits are in the table above.",
            bland_altman(group.cases, variant, group.centres),
        )
        for variant in group.networks
        if not ratios(group.cases[group.cases["variant"] == variant]).empty
    ]
    return Section(title, words, [sheet], pictures)


def failure_section(group: Group) -> Section:
    """Structures that a network missed, or saw where there is none."""
    cases = group.cases[group.cases["variant"] != MEAN_MASK]
    missed = cases["missed"].astype(bool)
    spurious = cases["spurious"].astype(bool)
    failed = cases[missed | spurious].copy()
    title = "Failures"
    if failed.empty:
        words = f"No structure was missed or invented in {len(cases)} structures of all networks."
        return Section(title, [words])
    failed["failure"] = ["missed" if one else "invented" for one in failed["missed"]]
    keys = ["variant", "centre", "split", "case", "structure", "failure", "seed"]
    numbers = failed[keys].sort_values(keys[:5])
    text = numbers.astype(str).rename(columns=str.capitalize)
    caption = (
        f"{int(missed.sum())} missed (in the truth alone) and {int(spurious.sum())} invented (in "
        f"the prediction alone) of {len(cases)} structures of all networks."
    )
    return Section(title, tables=[Sheet("failures", caption, text, numbers, 6)])


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return cell.note if math.isnan(cell.mean) else f"{cell.value} {cell.note}"


def _bounded(metric: str, row: Mapping[Hashable, Any]) -> str:
    mean, low, high = (f"{row[key]:.{METRICS[metric].digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _task(metric: str, structure: str) -> str:
    return BOTH if metric.startswith("vcdr") else SHORT.get(structure, structure)


def _name(metric: str) -> str:
    about = METRICS[metric]
    return f"{about.name}, {about.unit}" if about.unit else about.name


def _stem(metric: str) -> str:
    return METRICS[metric].name.lower()


def _p(value: float) -> str:
    if pd.isna(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
