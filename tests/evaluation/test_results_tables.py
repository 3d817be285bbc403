"""Scores and differences in docs/results.md and README.md are those of their rows."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.conftest import scored_rows

PROJECT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(PROJECT / "scripts" / "results_tables.py"))
README, RESULTS = "README.md", "docs/results.md"
MEANS = {"dice": "mean DSC", "hd95_px": "HD95"}
MEASURED_APART = {"minutes", "GB"}


def _tables(page: str, section: str, metric: str) -> Iterator[dict[str, list[tuple[str, str]]]]:
    """Yield each table of a section: variant -> titles and cells."""
    text = (PROJECT / page).read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        titles, _, *rows = ([c.strip(" *") for c in line.split("|")[1:-1]]
                            for line in block.splitlines())  # fmt: skip
        yield {
            row[0].split("`")[1] if "`" in row[0] else row[0]: [
                (MEANS[metric] if title == "mean" else title, cell)
                for title, cell in zip(titles[1:], row[1:], strict=True)
                if cell and title not in MEASURED_APART
            ]
            for row in rows
        }


@pytest.mark.parametrize(
    ("page", "section", "number", "rows", "baseline", "metric"),
    [
        (README, "Results", 0, "centres", "untrained", "dice"),
        (RESULTS, "Table 2 under a short schedule", 0, "centres", "dense", "dice"),
        (RESULTS, "Table 2 under a short schedule", 1, "centres", "dense", "hd95_px"),
        (RESULTS, "Table 2 under a short schedule", 2, "centres-paper", "dense", "dice"),
        (RESULTS, "What carries over to an unseen centre", 0, "centres", "untrained", "dice"),
        (RESULTS, "What carries over to an unseen centre", 1, "centres", "untrained", "dice"),
        (RESULTS, "What is left to gain", 0, "recipes", "latest", "dice"),
        (RESULTS, "What is left to gain", 1, "recipes-random-start", "default", "dice"),
    ],
)
def test_the_page_has_the_numbers_of_its_rows(
    page: str, section: str, number: int, rows: str, baseline: str, metric: str
) -> None:
    table = SCRIPT["table_of"](pd.read_csv(PROJECT / f"docs/results/{rows}.csv"), baseline, metric)
    computed = table.set_index("variant").T.to_dict()
    shown = [*_tables(page, section, metric)][number]
    assert len(shown) >= 3
    for variant, cells in shown.items():
        own = computed[variant]
        changes = [own.get(f"{metric} to {baseline}") for metric in ("DSC", "HD95")]
        found = [cell for title, cell in cells if title.startswith("to ")]
        assert found in ([], changes), variant
        for title, cell in cells:
            assert title.startswith("to ") or cell == own[title], (variant, title)


def test_rows_of_several_files_and_of_some_centres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = scored_rows(["dense", "tvconv"], centres="ABC")
    files = [tmp_path / f"{name}.csv" for name in ("dense", "tvconv")]
    for file in files:
        rows[rows["variant"] == file.stem].to_csv(file, index=False)
    for centres in (["B"], ["A", "C"]):
        words = [word for centre in centres for word in ("--centre", centre)]
        monkeypatch.setattr("sys.argv", ["x", *map(str, files), "--to", "dense", *words])
        SCRIPT["main"]()
        table = SCRIPT["table_of"](rows[rows["centre"].isin(centres)], "dense")
        *_, dense, tvconv = (line for line in capsys.readouterr().out.splitlines() if line)
        for line, (_, wanted) in zip((dense, tvconv), table.iterrows(), strict=True):
            assert [cell.strip() for cell in line.split("|")[1:-1]] == [*wanted]
    monkeypatch.setattr("sys.argv", ["x", str(files[0]), "--centre", "Q"])
    with pytest.raises(SystemExit):
        SCRIPT["main"]()
    assert "--centre must be one of A, B, C, got Q" in capsys.readouterr().err
