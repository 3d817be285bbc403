"""The tables of docs/results.md, of its rows or of the runs of a sweep.

    python scripts/results_tables.py docs/results/recipes.csv --to latest
    python scripts/results_tables.py sweeps/recipes-default/runs --to latest --csv recipes.csv

Writes Markdown: DSC in % (HD95 in px with --metric hd95_px) by structure and centre, mean and
standard deviation over seeds, the means of both, missed structures; with --to the differences to a
variant over the same seeds, with the 95 % interval over images, and of each seed.
"""

import argparse
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from tvseg.evaluation.schema import MEAN_MASK
from tvseg.evaluation.scoring.rows import read_cases
from tvseg.evaluation.tables.differences import mean_differences
from tvseg.evaluation.tables.table import Table, to_markdown

KEPT = ["variant", "holdout", "seed", "centre", "split", "case", "structure", "dice", "hd95_px",
        "missed", "spurious", "vcdr", "true_vcdr"]  # fmt: skip
DIGITS = {"dice": 5, "hd95_px": 2, "vcdr": 5, "true_vcdr": 5}
SEEDLESS = ("untrained", MEAN_MASK, " ensemble")
TITLES = {"dice": "DSC", "hd95_px": "HD95"}
SCALES = {"dice": 100, "hd95_px": 1}
SHOWN = {"dice": 1, "hd95_px": 0}
"""Digits of a mean."""


def read_rows(source: Path, protocol: str) -> pd.DataFrame:
    """Return the rows of a CSV file, or of all runs in a folder that a protocol scored."""
    if source.is_file():
        return pd.read_csv(source)
    files = sorted(source.glob(f"*/eval/{protocol}/cases.csv"))
    if not files:
        raise SystemExit(f"{source} must hold runs that 'tvseg eval' or 'tvseg sweep' has scored")
    rows = pd.concat([read_cases(file) for file in files], ignore_index=True)
    again = rows["variant"] == MEAN_MASK  # each run is scored beside it
    once = (
        rows[again]
        .drop_duplicates(["holdout", "centre", "split", "case", "structure"])
        .assign(seed=0)
    )
    return pd.concat([rows[~again], once], ignore_index=True)[KEPT].round(DIGITS)


def spread(values: Iterable[float], digits: int) -> str:
    """Return the mean of one value a seed, with their standard deviation where there are some."""
    numbers = pd.Series(list(values), dtype=float)
    deviation = f" ± {numbers.std():.{digits}f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():.{digits}f}{deviation}"


def row_of(rows: pd.DataFrame, metric: str) -> dict[str, str]:
    """Return the cells of a variant, those by structure and centre of a metric."""
    kept = rows.groupby(["seed", "structure", "centre"])[[*SCALES]].mean() * SCALES
    cells = {
        " ".join(map(str, key)): spread(values, SHOWN[metric])
        for key, values in kept[metric].groupby(["structure", "centre"])
    }
    means = kept.groupby("seed").mean()
    cells |= {
        "mean DSC": spread(means["dice"], SHOWN["dice"]),
        "HD95": spread(means["hd95_px"], SHOWN["hd95_px"]),
    }
    return cells | {"missed": f"{rows['missed'].sum()} of {len(rows)}"}


def changes(rows: pd.DataFrame, variant: str, baseline: str) -> dict[str, str]:
    """Return the differences of a variant to another one over the seeds that both have.

    What no seed makes, ensembles among it, is compared with every seed.
    """
    ours, theirs = (dict([*rows[rows["variant"] == name].groupby("seed")])
                    for name in (variant, baseline))  # fmt: skip
    if baseline.endswith(SEEDLESS):
        theirs = dict.fromkeys(ours, *theirs.values())
    elif variant.endswith(SEEDLESS):
        ours = dict.fromkeys(theirs, *ours.values())
    pairs: list[pd.DataFrame] = [
        pd.concat([ours[seed], theirs[seed]]) for seed in ours if seed in theirs
    ]
    if not pairs:
        return {}

    def compare(some: pd.DataFrame) -> dict[str, dict[Hashable, Any]]:
        found = mean_differences(some, [*SCALES], [baseline, variant]).to_dict("records")
        return {row["metric"]: row for row in found}

    cells: dict[str, str] = {}
    for metric, row in compare(pd.concat(pairs)).items():
        digits = 2 if metric == "dice" else 1
        change, low, high = (
            f"{row[key] * SCALES[metric]:+.{digits}f}" for key in ("difference", "low", "high")
        )
        cells[f"{TITLES[metric]} to {baseline}"] = f"{change} ({low} to {high})"
    each = [compare(pair)["dice"]["difference"] * 100 for pair in pairs]
    return cells | {"each seed": ", ".join(f"{value:+.1f}" for value in each)}


def table_of(rows: pd.DataFrame, baseline: str | None = None, metric: str = "dice") -> pd.DataFrame:
    """Return a row of texts for each variant, in the order of the rows."""
    table = {}
    for variant in dict.fromkeys(rows["variant"]):
        own = rows[rows["variant"] == variant]
        table[variant] = {"seeds": str(own["seed"].nunique())} | row_of(own, metric)
        if baseline and variant != baseline:
            table[variant] |= changes(rows, variant, baseline)
    return pd.DataFrame(table).T.fillna("").rename_axis("variant").reset_index()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", type=Path, nargs="+", help="CSV of rows, or folder of runs")
    parser.add_argument("--to", metavar="VARIANT", help="variant to compare the others with")
    parser.add_argument("--metric", choices=SCALES, default="dice", help="by structure and centre")
    parser.add_argument("--centre", action="append", help="of all; may be given again")
    parser.add_argument("--protocol", default="honest", help="of the runs' scores")
    parser.add_argument("--csv", type=Path, help="file to write the rows to")
    arguments = parser.parse_args()
    rows = pd.concat([read_rows(source, arguments.protocol) for source in arguments.sources])
    centres = sorted(rows["centre"].unique())
    if unknown := sorted({*(arguments.centre or [])} - {*centres}):
        parser.error(f"--centre must be one of {', '.join(centres)}, got {unknown[0]}")
    rows = rows[rows["centre"].isin(arguments.centre or centres)]
    variants = [*dict.fromkeys(rows["variant"])]
    if arguments.to and arguments.to not in variants:
        parser.error(f"--to must be one of {', '.join(variants)}, got {arguments.to}")
    text = table_of(rows, arguments.to, arguments.metric)
    print(to_markdown(Table.of(f"Rows of {', '.join(map(str, arguments.sources))}", text)))
    if arguments.csv:
        rows.to_csv(arguments.csv, index=False)


if __name__ == "__main__":
    main()
