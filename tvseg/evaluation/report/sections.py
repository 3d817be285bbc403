"""The sections of a chapter: scores, comparisons, distributions, agreement, cases, runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from tvseg.errors import UserError
from tvseg.evaluation.report.agreement import agreement, bland_altman, ratios
from tvseg.evaluation.report.chapter import Illustration, Section
from tvseg.evaluation.report.examples import predict_examples, rank_cases
from tvseg.evaluation.report.figures import DRAWN, box_plot, stem, training_curves
from tvseg.evaluation.report.groups import Group, caption
from tvseg.evaluation.report.panels import panels
from tvseg.evaluation.schema import MEAN_MASK, METRICS
from tvseg.evaluation.scoring.shifts import summarise_shifts
from tvseg.evaluation.tables.layout import SHOWN, layout, shift_table, with_interval
from tvseg.evaluation.tables.summary import summarise
from tvseg.evaluation.tables.table import Table
from tvseg.runs.folder import RunFolder


def score_section(group: Group) -> Section:
    """Return the table of the paper, the intervals of its means, and all other metrics."""
    summary = summarise(group.cases)
    rest = [metric for metric in METRICS if metric not in SHOWN]
    words = caption(group.runs, group.scoring)
    bounds = "The same means with intervals: 2000 resamples, each image averaged over seeds first."
    tables = [
        layout(summary, words, name="scores"),
        layout(summary, bounds, intervals=True, name="intervals"),
        layout(summary, "All other metrics of the same scoring.", metrics=rest, name="more-scores"),
    ]
    numbers = [summary[summary["metric"].isin(metrics)] for metrics in (SHOWN, SHOWN, rest)]
    return Section(
        "Scores",
        tables=[replace(t, numbers=n) for t, n in zip(tables, numbers, strict=True)],
    )


def distribution_section(group: Group) -> Section:
    """Return box plots over every image."""
    drawn = [
        Illustration(
            f"boxes-{stem(metric)}",
            f"{METRICS[metric].name} of every image (dots, averaged over seeds), median, quartiles "
            "and whiskers up to 1.5 times their distance."
            + ("" if metric == "dice" else " Logarithmic axis; values below 1 px are drawn there."),
            f"Box plots of {METRICS[metric].name} by centre for {', '.join(group.variants)}, "
            "a panel a structure; the means are in the table of scores.",
            box_plot(group.cases, metric, group.variants),
        )
        for metric in DRAWN
    ]
    return Section("Every image", illustrations=drawn)


def agreement_section(group: Group) -> Section:
    """Return predicted against true vertical cup-to-disc ratio."""
    title = "Vertical cup-to-disc ratio"
    if ratios(group.cases).empty:
        return Section(title, ["No image has both a true and a predicted ratio."])
    table = agreement(group.cases, group.variants)
    rows = [
        {
            "Variant": row["variant"],
            "Centre": row["centre"],
            "n": row["n"],
            "MAE": f"{row['mae']:.3f}",
            "Bias": with_interval(f"{row['bias']:+.3f}", row["bias_low"], row["bias_high"], "+.3f"),
            "Limits of agreement": f"{row['limit_low']:+.3f} to {row['limit_high']:+.3f}"
            if row["n"] > 1
            else "one ratio only",
        }
        for row in table.to_dict("records")
    ]
    words = [
        "REFUGE rule: the largest count of pixels in a column of the cup over that of the disc. "
        "Every image and seed is a separate row. Bias: mean of prediction minus truth with its "
        "bootstrap 95 % interval over images; limits of agreement: bias ± 1.96 standard "
        "deviations, within which 19 of 20 differences are expected. Two experts differ by about "
        "0.08. Images without a predicted disc have no ratio and are left out.",
    ]
    words_of_table = "Agreement of predicted and true ratios."
    text = Table.of(words_of_table, pd.DataFrame(rows), numbers=table, heads=2, name="vcdr")
    drawn = [
        Illustration(
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
    return Section(title, words, [text], drawn)


def example_section(group: Group, roots: Mapping[Path, Path], device: torch.device) -> Section:
    """Return the best, the median and the worst case of each centre with every variant's contours.

    Args:
        group: Runs with their scores.
        roots: Data root of each run's folder.
        device: Where to predict.

    Raises:
        UserError: The data or the predictions are not those that were scored.
    """
    networks = group.cases[group.cases["variant"] != MEAN_MASK]
    chosen = rank_cases(networks, group.networks)
    by_name = {run.path.name: run for run in group.runs}
    drawn = []
    for centre in tqdm(group.centres, "drawing cases", leave=False):
        runs = _shown_runs(networks[networks["centre"] == centre], group.networks, by_name)
        examples = predict_examples(
            chosen[chosen["centre"] == centre],
            networks,
            runs,
            root=roots[next(iter(runs.values())).path],
            scoring=group.scoring,
            device=device,
        )
        names = ", ".join(f"{example.rank} {example.name}" for example in examples)
        seeds = ", ".join(f"{variant} seed {run.settings().seed}" for variant, run in runs.items())
        drawn.append(
            Illustration(
                f"cases-{centre}",
                f"Centre {centre}; {seeds}. Truth red, predicted disc green, predicted cup blue.",
                f"Photographs of centre {centre} with contours of truth and predictions: {names}; "
                "Dice is written below each.",
                panels(examples),
            )
        )
    words = (
        "The case with the highest, the median and the lowest Dice of each centre, averaged over "
        "structures, variants and seeds, predicted again by the first seed of each variant. All "
        "variants are shown on the same cases; numbers are Dice in %. The white frame in the "
        "photograph is the part that is enlarged beside it."
    )
    return Section("Best, median and worst cases", [words], illustrations=drawn)


def _shown_runs(
    cases: pd.DataFrame, networks: Sequence[str], by_name: Mapping[str, RunFolder]
) -> dict[str, RunFolder]:
    """Return for each variant that scored a centre the run of the first seed."""
    first = cases.sort_values("seed", kind="stable").drop_duplicates("variant")
    names = dict(zip(first["variant"], first["run"], strict=True))
    return {variant: by_name[names[variant]] for variant in networks if variant in names}


def training_section(group: Group) -> Section:
    """Return loss and validation Dice of every run."""
    epochs = pd.concat([_epochs(run) for run in group.runs])
    drawn = [
        Illustration(
            f"training-{holdout}",
            f"Hold-out {holdout}: a line a run; the ring marks the epoch that was kept.",
            f"Curves of training loss and validation Dice by epoch of the runs with hold-out "
            f"{holdout}.",
            training_curves(rows, group.networks),
        )
        for holdout, rows in epochs.groupby("holdout")
    ]
    chosen = ", ".join(sorted({str(run.info()["chosen"]) for run in group.runs}))
    words = f"DSC is that of the images by which epochs are compared ({chosen})."
    return Section("Training", [words], illustrations=drawn)


def _epochs(run: RunFolder) -> pd.DataFrame:
    """Return the rows of a run's ``metrics.csv`` with what identifies the run."""
    try:
        rows = pd.DataFrame(run.read_metrics())[["epoch", "loss", "dice"]].apply(pd.to_numeric)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{run.metrics} must have a row an epoch with the columns epoch, loss and dice "
            f"({' '.join(str(error).split())}); restore the file or leave this run out"
        ) from error
    info = run.info()
    named: pd.DataFrame = rows.assign(
        variant=run.settings().display_name,
        seed=run.settings().seed,
        holdout=info["holdout"],
        best_epoch=info["best_epoch"],
    )
    return named


def shift_section(group: Group) -> Section:
    """Return Dice by the shift of the region, of the runs that were scored so."""
    title = "Shifted regions"
    paths = [group.scoring.folder(run) / "shifts.csv" for run in group.runs]
    present = [path for path in paths if path.is_file()]
    if not present:
        return Section(title, ["No run was scored with 'tvseg eval --shifts'."])
    names = dict.fromkeys(("variant", "centre", "split", "case", "structure"), str)
    try:
        rows = pd.concat(
            pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])
            for path in present
        )
        table = shift_table(summarise_shifts(rows))
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{', '.join(map(str, present))} must be as 'tvseg eval --shifts' writes it "
            f"({' '.join(str(error).split())}); score again or remove it"
        ) from error
    missing = len(paths) - len(present)
    words = [f"{missing} of {len(paths)} runs were not scored so."] if missing else []
    return Section(title, words, tables=[table])


def failure_section(group: Group) -> Section:
    """Return the structures that a network missed, or predicted where there is none."""
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
    words = (
        f"{int(missed.sum())} missed (in the truth alone) and {int(spurious.sum())} invented (in "
        f"the prediction alone) of {len(cases)} structures of all networks."
    )
    text = numbers.rename(columns=str.capitalize)
    return Section(title, tables=[Table.of(words, text, numbers=numbers, heads=6, name="failures")])


def run_section(group: Group) -> Section:
    """Return which run each number comes from."""
    rows = []
    for run in group.runs:
        info = run.info()
        rows.append(
            {
                "Run": run.path.name,
                "Variant": run.settings().display_name,
                "Hold-out": info["holdout"],
                "Seed": info["seed"],
                "Epoch kept": info["best_epoch"],
                "Minutes": round(info["train_seconds"] / 60, 1),
                "Device": info.get("device"),
                "Precision": info.get("precision"),
                "tvseg": info.get("tvseg"),
                "Commit": info.get("commit"),
                "Finished": str(info.get("finished"))[:10],
            }
        )
    numbers = pd.DataFrame(rows)
    text = numbers.astype(object).where(numbers.notna(), "")
    words = "Every run of this report."
    return Section("Runs", tables=[Table.of(words, text, numbers=numbers, heads=3, name="runs")])
