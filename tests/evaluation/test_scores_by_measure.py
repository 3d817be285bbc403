"""Scores by quarters of a measure of the photographs."""

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.conftest import IMAGES, scored_rows

SCRIPT = Path(__file__).parents[2] / "scripts" / "scores_by_measure.py"


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


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_quarters_hold_their_photographs(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, cases = files
    run(monkeypatch, scores, "--cases", cases, "--centre", "A")
    header, _, *lines = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("|")
    )
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


def test_what_is_not_there_is_said(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, cases = files
    for option, message in (
        ("--measure=age", "--measure must be one of brightness, contrast, got age"),
        ("--centre=Q", "--centre must be one of A, B, got Q"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run(monkeypatch, scores, "--cases", cases, option)
        assert message in capsys.readouterr().err
    pd.read_csv(cases).iloc[1:].to_csv(cases, index=False)
    with pytest.raises(SystemExit, match="every scored photograph, A/test/photo0 is not in it"):
        run(monkeypatch, scores, "--cases", cases)
