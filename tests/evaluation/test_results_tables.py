"""The tables of docs/results.md are those of its rows."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

PROJECT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(PROJECT / "scripts" / "results_tables.py"))
PAGE = (PROJECT / "docs" / "results.md").read_text()
MEASURED_APART = {"minutes", "GB"}


def _tables(section: str) -> Iterator[dict[str, list[str]]]:
    """Yield each table of a section: variant -> its cells."""
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        titles, _, *rows = ([c.strip(" *") for c in line.split("|")[1:-1]]
                            for line in block.splitlines())  # fmt: skip
        yield {
            row[0].split("`")[1] if "`" in row[0] else row[0]: [
                cell for title, cell in zip(titles[1:], row[1:], strict=True)
                if cell and title not in MEASURED_APART
            ]
            for row in rows
        }  # fmt: skip


@pytest.mark.parametrize(
    ("section", "number", "rows", "baseline"),
    [
        ("Table 2 under a short schedule", 0, "centres", "dense"),
        ("What carries over to an unseen centre", 0, "centres", "untrained"),
        ("What carries over to an unseen centre", 1, "centres", "untrained"),
        ("What is left to gain", 0, "recipes", "default"),
    ],
)
def test_the_page_has_the_numbers_of_its_rows(
    section: str, number: int, rows: str, baseline: str
) -> None:
    table = SCRIPT["table_of"](pd.read_csv(PROJECT / f"docs/results/{rows}.csv"), baseline)
    computed = {row[0]: set(row[1:]) for row in table.to_numpy().tolist()}
    shown = [*_tables(section)][number]
    assert len(shown) >= 4
    for variant, cells in shown.items():
        assert set(cells) <= computed[variant], variant
