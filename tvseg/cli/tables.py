"""Tables on the terminal."""

import os
from collections.abc import Iterable, Mapping

import pandas as pd
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from tvseg.evaluation.tables.table import SHORT, Cell, Table

PIPED_WIDTH = 160  # characters a line, where no terminal and no $COLUMNS says how many


def make_console() -> Console:
    """A console as wide as its terminal, or wide enough for the table when there is none."""
    console = Console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(width=PIPED_WIDTH)


def print_table(console: Console, table: Table) -> None:
    """Print the table of an evaluation below its caption."""
    console.print(table.caption, highlight=False, markup=False)
    grid = _grid(table, beside=True)
    wide = console.options.update(max_width=10 * PIPED_WIDTH)
    if console.measure(grid, options=wide).maximum > console.width:
        grid = _grid(table, beside=False)
    console.print(grid)


def _grid(table: Table, *, beside: bool) -> Grid:
    """The table, with what was missed beside each mean or below it."""
    grid = Grid(header_style="bold")
    for place, head in enumerate(table.heads):
        if place < 3:
            grid.add_column(Text(head))
        else:
            grid.add_column(Text(head), justify="right", no_wrap=not beside)
    previous = None
    for line in table.lines:
        if previous not in (None, line.metric):
            grid.add_section()
        first = line.metric != previous
        previous = line.metric
        heads = [Text(text) for text in (line.metric if first else "", line.task, line.centre)]
        grid.add_row(*heads, *(_cell(cell, beside=beside) for cell in line.cells))
    return grid


def print_rows(title: str, columns: Mapping[str, Iterable[str]]) -> None:
    """Print columns of text below a title, all but the first, which stays whole, to the right."""
    grid = Grid(title=title, title_justify="left", title_style="bold", header_style="bold")
    for place, head in enumerate(columns):
        grid.add_column(Text(head), justify="right" if place else "left", no_wrap=place == 0)
    for row in zip(*columns.values(), strict=True):
        grid.add_row(*(Text(text) for text in row))
    make_console().print(grid)


def print_shifts(console: Console, means: pd.DataFrame) -> None:
    """Print mean Dice against the shift of the region."""
    console.print(
        "DSC [%] when the region is moved by a share of its side: mean over four directions, "
        "images, centres and seeds. limit: a perfect prediction, cut off by the window.",
        highlight=False,
        markup=False,
    )
    grid = Grid("Task", "Variant", header_style="bold")
    for shift in means.columns:
        grid.add_column(f"{100 * shift:g} %", justify="right")
    for structure, variant, *values in means.reset_index().to_numpy().tolist():
        grid.add_row(
            SHORT.get(structure, structure), variant, *(f"{value:.2f}" for value in values)
        )
    console.print(grid)


def _cell(cell: Cell | None, *, beside: bool) -> Text:
    if cell is None:
        return Text("")
    value = (cell.value, "bold" if cell.is_best else "")
    if beside:
        return Text.assemble(value, " ", (cell.note, "dim"))
    return Text.assemble(value, "\n", (cell.note.replace("; ", ";\n"), "dim"))
