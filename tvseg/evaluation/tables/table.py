"""The one type of table, and its text forms; the terminal's is in ``tvseg.cli.tables``."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd


class Cell(NamedTuple):
    """What a cell shows: a text, a smaller note after it, and whether the text is bold."""

    text: str
    note: str = ""
    bold: bool = False

    def marked(self, mark: str = "") -> str:
        """Return the whole content, a mark around the text of a bold cell."""
        mark = mark if self.bold else ""
        return f"{mark}{self.text}{mark} {self.note}".strip()


@dataclass(frozen=True)
class Table:
    """A table to read, and the numbers behind it.

    Attributes:
        caption: What it shows; may be several sentences.
        columns: Titles of all columns.
        rows: The cells; a column that begins a row with the text of the row before continues a
            block where there are several heads.
        heads: How many leading columns name the row.
        feet: Rows that sum up those above them.
        numbers: What the CSV file holds.
        name: Stem of its files.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: pd.DataFrame
    heads: int = 1
    feet: frozenset[int] = frozenset()
    name: str = "table"

    @classmethod
    def of(
        cls,
        caption: str,
        text: pd.DataFrame,
        *,
        numbers: pd.DataFrame | None = None,
        heads: int = 1,
        bold: Collection[tuple[int, str]] = (),
        name: str = "table",
    ) -> "Table":
        """Make a table of a frame of texts.

        Args:
            caption: See the class.
            text: One text a cell.
            numbers: What the CSV file holds; by default the texts.
            heads: See the class.
            bold: Row number and column of the bold cells.
            name: See the class.
        """
        columns = [str(column) for column in text.columns]
        rows = [
            [
                Cell(str(cell), bold=(number, column) in bold)
                for column, cell in zip(columns, row, strict=True)
            ]
            for number, row in enumerate(text.to_numpy().tolist())
        ]
        return cls(caption, columns, rows, text if numbers is None else numbers, heads, name=name)

    def begins_block(self, row: int) -> bool:
        """Return whether a row differs in its first head from the row before."""
        return row == 0 or self.heads == 1 or self.rows[row][0] != self.rows[row - 1][0]


def to_markdown(table: Table) -> str:
    """Return a table as Markdown, its caption before it."""
    rows = [[cell.marked("**") for cell in row] for row in table.rows]
    lines = [_line(table.columns), "|" + " --- |" * len(table.columns), *map(_line, rows)]
    return f"{table.caption}\n\n" + "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Return the numbers of a table as CSV."""
    return table.numbers.to_csv(index=False)


def _line(cells: Sequence[str]) -> str:
    plain = (" ".join(cell.splitlines()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(plain) + " |"
