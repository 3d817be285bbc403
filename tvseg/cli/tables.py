"""Tables on the terminal."""

import os

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tvseg.errors import escaped
from tvseg.evaluation.tables.table import Cell, Table

PIPED_WIDTH = 160  # characters a line, where no terminal and no $COLUMNS says how many
SPELT = {
    "↑": "(higher is better)",
    "↓": "(lower is better)",
    "→ 0": "(0 is best)",
    "±": "+/-",
}
"""What is printed instead of characters that the terminal's encoding lacks."""


def make_console(*, stderr: bool = False) -> Console:
    """Return a console as wide as its terminal, or wide enough for tables when there is none."""
    console = Console(stderr=stderr)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(stderr=stderr, width=PIPED_WIDTH)


def print_table(table: Table, console: Console | None = None) -> None:
    """Print a table below its caption; nothing in it is read as markup."""
    console = console or make_console()
    if table.caption:
        console.print(Text(printable(table.caption, console.encoding)))
    grid = grid_of(table, console.encoding, beside=True)
    wide = console.options.update(max_width=10 * PIPED_WIDTH)
    if console.measure(grid, options=wide).maximum > console.width:
        grid = grid_of(table, console.encoding, beside=False)
    console.print(grid)


def printable(text: str, encoding: str) -> str:
    """Return text with the characters that an encoding lacks spelt out.

    Example:
        >>> printable("DSC ↑, 1 ± 2", "cp1252")
        'DSC (higher is better), 1 ± 2'
    """
    for symbol, words in SPELT.items():
        if symbol.encode(encoding, "ignore").decode(encoding) != symbol:
            text = text.replace(symbol, words)
    return text


def grid_of(table: Table, encoding: str, *, beside: bool = True) -> Grid:
    """Lay a table out with the note of each cell beside its text or below it."""
    has_notes = any(cell.note for row in table.rows for cell in row)
    grid = Grid(header_style="bold")
    for index, title in enumerate(table.columns):
        is_head = index < table.heads
        grid.add_column(
            Text(printable(title, encoding)),
            justify="left" if is_head else "right",
            overflow="fold",  # a name cut short cannot be searched for
            no_wrap=has_notes and not is_head and not beside,
        )
    for number, row in enumerate(table.rows):
        begins = table.begins_block(number)
        if begins and number and table.heads > 1:
            grid.add_section()
        texts = [_text(cell, encoding, beside=beside) for cell in row]
        grid.add_row(*([] if begins else [""]), *(texts if begins else texts[1:]))
    return grid


def _text(cell: Cell, encoding: str, *, beside: bool) -> Text:
    value = (printable(escaped(cell.text), encoding), "bold" if cell.bold else "")
    if not cell.note:
        return Text.assemble(value)
    note = cell.note if beside else cell.note.replace("; ", ";\n")
    return Text.assemble(value, " " if beside else "\n", (note, "dim"))
