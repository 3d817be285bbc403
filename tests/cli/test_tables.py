"""Tables on a terminal: what is bold, what breaks, what an encoding lacks, what is no markup."""

import io
import re

import pandas as pd
import pytest
from rich.console import Console

from tests.evaluation.tables.test_summary import make_cases
from tvseg.cli.tables import make_console, print_table
from tvseg.evaluation.tables.layout import layout
from tvseg.evaluation.tables.summary import summarise
from tvseg.evaluation.tables.table import Table


@pytest.fixture(scope="module")
def table() -> Table:
    return layout(summarise(make_cases(), metrics=["dice", "hd95_px"]), "Protocol [honest].")


def _printed(table: Table, width: int) -> str:
    file = io.StringIO()
    console = Console(width=width, file=file, force_terminal=True, color_system="standard")
    print_table(table, console)
    return file.getvalue()


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_units_in_brackets_survive_and_the_best_is_bold(table: Table) -> None:
    text = _printed(table, 160)
    assert "Protocol [honest]." in text
    assert "DSC [%] ↑" in text
    assert "HD95 [px] ↓" in text
    best = [cell.text for row in table.rows for cell in row if cell.bold]
    assert best
    assert re.findall(r"\x1b\[1m(-?\d[^\x1b]*)\x1b", text) == best


def test_a_narrow_terminal_breaks_no_number(table: Table) -> None:
    wide, narrow = (_printed(table, width) for width in (160, 80))
    for cell in (cell for row in table.rows for cell in row[table.heads :]):
        assert cell.text in narrow
        assert all(part in narrow for part in cell.note.split("; "))
        assert cell.marked() in _plain(wide)
    assert max(len(_plain(text)) for text in narrow.splitlines()) <= 80


def test_a_pipe_is_wide_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert make_console().width == 160
    monkeypatch.setenv("COLUMNS", "90")
    assert make_console().width == 90


def test_text_is_never_read_as_markup() -> None:
    names = ["IMG [copy].png", "[/b]", "[bold]x[/bold]", ":warning:", "[link=x]"]
    text = _printed(Table.of("[/caption]", pd.DataFrame({"[/head]": names})), 160)
    for word in ["[/caption]", "[/head]", *names]:
        assert word in _plain(text)


def test_a_long_name_is_folded_and_not_cut() -> None:
    name = "x" * 300
    text = _plain(_printed(Table.of("", pd.DataFrame({"File": [name], "Reason": ["short"]})), 60))
    assert text.count("x") == 300


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_encoding_without_arrows_gets_words(table: Table, encoding: str) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding, write_through=True) as file:
        print_table(table, Console(width=160, file=file))
        text = raw.getvalue().decode(encoding)
    assert "DSC [%] (higher is better)" in text
    assert ("+/-" in text) == (encoding == "ascii")
