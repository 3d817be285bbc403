"""Where a network fails: scores by quarters of a measure of the photographs, as of brightness.

    tvseg data check DATA --cases cases.csv
    python scripts/scores_by_measure.py runs/*/eval/honest/cases.csv --cases cases.csv

Writes Markdown: mean DSC in % and missed structures of each variant, over its seeds, in the darkest
quarter of a centre's scored photographs (or the lowest of another measure), in the next, and so on.
"""

import argparse
from pathlib import Path

import pandas as pd

from tvseg.evaluation.tables.table import Table, to_markdown

IMAGE = ["centre", "split", "case"]
TEXT = dict.fromkeys([*IMAGE, "name", "variant", "structure"], str)


def measured(rows: pd.DataFrame, measures: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the rows of scores with a measure of their photographs.

    Raises:
        SystemExit: A photograph was not measured.
    """
    table = measures.rename(columns={"name": "case"})[[*IMAGE, measure]]
    joined = rows.merge(table, on=IMAGE, how="left", validate="many_to_one")
    lacking = joined[joined[measure].isna()]
    if len(lacking):
        image = "/".join(lacking.iloc[0][IMAGE])
        raise SystemExit(f"--cases must measure every scored photograph, {image} is not in it")
    return joined


def by_quarter(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a row of texts for each variant and structure of one centre's rows."""
    images = rows.drop_duplicates(IMAGE).set_index(IMAGE)[measure]
    place = ((images.rank(method="first") - 1) * 4 // len(images)).astype(int)
    titles = {
        key: f"{key + 1}: {part.min():.3g} to {part.max():.3g}"
        for key, part in images.groupby(place)
    }
    quarter = place.loc[pd.MultiIndex.from_frame(rows[IMAGE])].map(titles).to_numpy()
    cells = (
        rows.assign(quarter=quarter)
        .groupby(["variant", "structure", "quarter"], sort=False)
        .agg(dice=("dice", "mean"), missed=("missed", "sum"))
        .apply(_text, axis="columns")
    )
    return cells.unstack("quarter").fillna("")[[*titles.values()]].reset_index()


def _text(cell: pd.Series) -> str:
    missed = f", {cell['missed']:.0f} missed" if cell["missed"] else ""
    return f"{100 * cell['dice']:.1f}{missed}"


def main() -> None:
    """Print a table for each centre."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scores", type=Path, nargs="+", help="CSV files of 'tvseg eval'")
    parser.add_argument("--cases", type=Path, required=True, help="CSV of 'tvseg data check'")
    parser.add_argument("--measure", default="brightness", help="column of --cases")
    parser.add_argument("--centre", help="one centre, not all")
    arguments = parser.parse_args()
    scores = pd.concat([pd.read_csv(file, dtype=TEXT) for file in arguments.scores])
    measures = pd.read_csv(arguments.cases, dtype=TEXT)
    names = [*measures.select_dtypes("number").columns]
    if arguments.measure not in names:
        parser.error(f"--measure must be one of {', '.join(names)}, got {arguments.measure}")
    centres = sorted(scores["centre"].unique())
    if arguments.centre and arguments.centre not in centres:
        parser.error(f"--centre must be one of {', '.join(centres)}, got {arguments.centre}")
    rows = measured(scores, measures, arguments.measure)
    for centre in [arguments.centre] if arguments.centre else centres:
        text = by_quarter(rows[rows["centre"] == centre], arguments.measure)
        print(to_markdown(Table.of(f"{centre}, by {arguments.measure}", text, heads=2)))


if __name__ == "__main__":
    main()
