"""Scores and differences in docs/results.md are those of its rows; HD95 by centre is unchecked."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

PROJECT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(PROJECT / "scripts" / "results_tables.py"))
PAGE = (PROJECT / "docs" / "results.md").read_text()
TITLES = {"mean": "mean DSC"}
MEASURED_APART = {"minutes", "GB"}


def _tables(section: str) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """Yield each table of a section: variant -> titles and cells."""
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        titles, _, *rows = ([c.strip(" *") for c in line.split("|")[1:-1]]
                            for line in block.splitlines())  # fmt: skip
        yield {
            row[0].split("`")[1] if "`" in row[0] else row[0]: [
                (TITLES.get(title, title), cell)
                for title, cell in zip(titles[1:], row[1:], strict=True)
                if cell and title not in MEASURED_APART
            ]
            for row in rows
        }


@pytest.mark.parametrize(
    ("section", "number", "rows", "baseline"),
    [
        ("Table 2 under a short schedule", 0, "centres", "dense"),
        ("What carries over to an unseen centre", 0, "centres", "untrained"),
        ("What carries over to an unseen centre", 1, "centres", "untrained"),
        ("What is left to gain", 0, "recipes", "default"),
        ("What is left to gain", 1, "recipes-random-start", "default"),
    ],
)
def test_the_page_has_the_numbers_of_its_rows(
    section: str, number: int, rows: str, baseline: str
) -> None:
    table = SCRIPT["table_of"](pd.read_csv(PROJECT / f"docs/results/{rows}.csv"), baseline)
    computed = table.set_index("variant").T.to_dict()
    shown = [*_tables(section)][number]
    assert len(shown) >= 4
    for variant, cells in shown.items():
        own = computed[variant]
        changes = [own.get(f"{metric} to {baseline}") for metric in ("DSC", "HD95")]
        found = [cell for title, cell in cells if title.startswith("to ")]
        assert found in ([], changes), variant
        for title, cell in cells:
            assert title.startswith("to ") or cell == own[title], (variant, title)
