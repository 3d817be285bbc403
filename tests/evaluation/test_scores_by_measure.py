"""Scores by quarters of a measure of the photographs."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.conftest import IMAGES, scored_rows
from tvseg.config import load_settings
from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.check.examine import examine
from tvseg.data.check.measures import case_table

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "scripts" / "scores_by_measure.py"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Scores of two centres and measures of their photographs, A's the darker the later."""
    rows = scored_rows(["dense", "tvconv"])
    images = rows.drop_duplicates(["centre", "case"])[["centre", "split", "case"]]
    light = [-int(case.removeprefix("photo")) % IMAGES for case in images["case"]]
    measures = images.rename(columns={"case": "name"}).assign(brightness=light, contrast=1.5)
    scores, cases = tmp_path / "scores.csv", tmp_path / "cases.csv"
    rows.to_csv(scores, index=False)
    measures.to_csv(cases, index=False)
    return scores, cases


def _table(text: str) -> list[list[str]]:
    """Cells of the lines of a Markdown table, without marks."""
    return [
        [cell.strip(" `") for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|") and "---" not in line
    ]


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_quarters_hold_their_photographs(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, cases = files
    run(monkeypatch, scores, "--cases", cases, "--centre", "A")
    header, *lines = _table(capsys.readouterr().out)
    assert header == [
        "variant", "structure", "1: 0 to 1", "2: 2 to 3", "3: 4 to 5", "4: 6 to 7",
    ]  # fmt: skip
    rows = pd.read_csv(scores)
    rows = rows[rows["centre"] == "A"]
    darkest = {"photo0", "photo7"}  # brightness 0 and 1
    assert [line[:2] for line in lines] == [
        ["dense", "cup"], ["dense", "disc"], ["tvconv", "cup"], ["tvconv", "disc"],
    ]  # fmt: skip
    for variant, structure, first, *_, last in lines:
        own = rows[(rows["variant"] == variant) & (rows["structure"] == structure)]
        lost = ", 1 missed" if (variant, structure) == ("tvconv", "cup") else ""
        assert first == f"{100 * own[own['case'].isin(darkest)]['dice'].mean():.1f}{lost}"
        assert last == f"{100 * own[own['case'].isin({'photo1', 'photo2'})]['dice'].mean():.1f}"


def test_every_centre_has_a_table_and_equal_values_are_split(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, cases = files
    run(monkeypatch, scores, "--cases", cases, "--measure", "contrast")
    shown = capsys.readouterr().out
    assert "A, by contrast" in shown
    assert "B, by contrast" in shown
    assert shown.count("| 1: 1.5 to 1.5 | 2: 1.5 to 1.5 |") == 2


def test_the_page_has_the_numbers_of_its_rows(
    fundus4: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cases = find_cases(fundus4, centres_of(load_settings(None, []))["B"])
    scored = [case for case in cases if case.split == "test"]
    case_table(examine(scored).examined).to_csv(tmp_path / "cases.csv", index=False)
    rows = [PROJECT / "docs" / "results" / name for name in ("centres.csv", "strong2.csv")]
    run(monkeypatch, *rows, "--cases", tmp_path / "cases.csv", "--centre", "B")
    header, *computed = _table(capsys.readouterr().out)
    page = (PROJECT / "docs" / "results.md").read_text()
    titles, *shown = _table(page.split("### Where they fail")[1].split("\n## ")[0])
    assert titles == header
    assert len(shown) >= 12
    assert not [row for row in shown if row not in computed]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.iloc[1:], "one brightness of every scored photograph, it has 0 of A/"),
        (lambda table: table.replace({"brightness": {0: None}}), "it has 0 of A/test/photo0"),
        (lambda table: pd.concat([table, table]), "it has 2 of A/test/photo0"),
        (lambda table: table.drop(columns="name"), "with the columns centre, split, name, bright"),
        (lambda table: table.replace({"brightness": {0: "dark"}}), "string 'dark'"),
        (lambda table: table.iloc[:0], "cases.csv must have rows, got none"),
    ],
)
def test_measures_that_are_missing_or_damaged_are_one_line(
    damage: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
    files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, cases = files
    damage(pd.read_csv(cases)).to_csv(cases, index=False)
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, scores, "--cases", cases)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_not_there_is_said(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, cases = files
    with pytest.raises(SystemExit, match=r"columns centre, split, name, age: .*age"):
        run(monkeypatch, scores, "--cases", cases, "--measure=age")
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, scores, "--cases", cases, "--centre=Q")
    assert "--centre must be one of A, B, got Q" in capsys.readouterr().err
    for text in ("", "\0\xff"):
        cases.write_bytes(text.encode("latin-1"))
        with pytest.raises(SystemExit, match=r"cases\.csv must be a CSV file with the columns"):
            run(monkeypatch, scores, "--cases", cases)
