import io
import re

import pytest
from rich.console import Console

from tests.evaluation.tables.test_summary import make_cases
from tvseg.cli.tables import make_console, print_table
from tvseg.evaluation.tables.summary import summarise
from tvseg.evaluation.tables.table import Table, layout


@pytest.fixture(scope="module")
def table() -> Table:
    return layout(summarise(make_cases(), metrics=["dice", "hd95_px"]), "Protocol [honest].")


def _printed(table: Table, width: int) -> str:
    file = io.StringIO()
    print_table(
        Console(width=width, file=file, force_terminal=True, color_system="standard"), table
    )
    return file.getvalue()


def test_units_in_brackets_survive_and_the_best_is_bold(table: Table) -> None:
    text = _printed(table, 160)
    assert "Protocol [honest]." in text
    assert "DSC [%] ↑" in text
    assert "HD95 [px] ↓" in text
    best = [cell.value for line in table.lines for cell in line.cells if cell and cell.is_best]
    assert best
    assert re.findall(r"\x1b\[1m(-?\d[^\x1b]*)\x1b", text) == best


def test_a_narrow_terminal_breaks_no_number(table: Table) -> None:
    wide, narrow = (_printed(table, width) for width in (160, 80))
    for line in table.lines:
        for cell in filter(None, line.cells):
            assert cell.value in narrow
            assert all(part in narrow for part in cell.note.split("; "))
            assert re.sub(r"\x1b\[[0-9;]*m", "", wide).count(f"{cell.value} {cell.note}")
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", text)) for text in narrow.splitlines()) <= 80


def test_a_pipe_is_wide_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert make_console().width == 160
    monkeypatch.setenv("COLUMNS", "90")
    assert make_console().width == 90
