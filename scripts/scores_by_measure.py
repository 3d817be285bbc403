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


def read(file: Path, texts: list[str], numbers: list[str]) -> pd.DataFrame:
    """Return columns of a CSV file, of texts and of numbers.

    Raises:
        SystemExit: It is no such file, or empty.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)[[*texts, *numbers]]
        table[numbers] = table[numbers].apply(pd.to_numeric)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        wanted = ", ".join([*texts, *numbers])
        raise SystemExit(f"{file} must be a CSV file with the columns {wanted}: {reason}") from None
    if table.empty:
        raise SystemExit(f"{file} must have rows, got none")
    return table


def measured(rows: pd.DataFrame, measures: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the rows of scores with a measure of their photographs.

    Raises:
        SystemExit: A photograph does not have one.
    """
    known = measures.dropna(subset=measure).set_index(IMAGE)[measure]
    wanted = pd.MultiIndex.from_frame(rows[IMAGE])
    counts = known.groupby(level=IMAGE).size().reindex(wanted.unique(), fill_value=0)
    if (wrong := counts[counts != 1]).size:
        image = "/".join(wrong.index.to_frame().iloc[0])
        raise SystemExit(
            f"--cases must have one {measure} of every scored photograph, it has {wrong.iloc[0]} "
            f"of {image}"
        )
    return rows.assign(**{measure: known.loc[wanted].to_numpy()})


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
    texts = [*IMAGE, "variant", "structure", "missed"]
    scores = pd.concat([read(file, texts, ["dice"]) for file in arguments.scores])
    scores["missed"] = scores["missed"] == "True"
    measures = read(arguments.cases, ["centre", "split", "name"], [arguments.measure])
    measures = measures.rename(columns={"name": "case"})
    centres = sorted(scores["centre"].unique())
    if arguments.centre and arguments.centre not in centres:
        parser.error(f"--centre must be one of {', '.join(centres)}, got {arguments.centre}")
    for centre in [arguments.centre] if arguments.centre else centres:
        rows = measured(scores[scores["centre"] == centre], measures, arguments.measure)
        text = by_quarter(rows, arguments.measure)
        print(to_markdown(Table.of(f"{centre}, by {arguments.measure}", text, heads=2)))


if __name__ == "__main__":
    main()
