"""CSV files: written so that spreadsheets run nothing, read as spreadsheets write them."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from tvseg.errors import UserError
from tvseg.files import open_atomically, read_bytes

MAX_TABLE_BYTES = 2**28
MAX_TABLE_ROWS = 1_000_000

_ESCAPED_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")  # a byte of a file's name that is not UTF-8
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def write_csv(path: Path, rows: Iterable[Mapping[str, object]]) -> int:
    """Write a table, its columns those of the first row; cells see :func:`csv_cell`.

    Returns:
        The number of rows; without any no file is written.
    """
    remaining, count = iter(rows), -1  # the first line names the columns
    if (first := next(remaining, None)) is None:
        return 0
    with open_atomically(path) as file:
        for cells in chain([first, first.values()], (row.values() for row in remaining)):
            count += 1
            line = ",".join(csv_cell(cell) for cell in cells) + "\n"
            file.write(line.encode("utf-8", "backslashreplace"))
    return count


def csv_cell(value: object) -> str:
    """Return a cell of a CSV file, quoted where it must be.

    Text that a spreadsheet would run as a formula (it begins with ``=``, ``+``, ``-``, ``@``, a
    tab or a carriage return) is preceded by an apostrophe; :func:`read_csv` takes it away again.
    """
    text = "" if value is None else str(value)
    if isinstance(value, str) and _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text


@dataclass(frozen=True)
class CsvTable:
    """A CSV file.

    Attributes:
        columns: Names from the first row.
        rows: Line number and cells by column. A row of fewer cells
            than columns lacks the last columns, cells beyond the columns are under ``""``.
    """

    columns: list[str]
    rows: list[tuple[int, dict[str, str]]]


def read_csv(path: Path, *, max_rows: int = MAX_TABLE_ROWS, trim: bool = True) -> CsvTable:
    """Read a table as programs and spreadsheets write it.

    A byte order mark, a first line ``sep=;``, semicolons or tabs between cells, empty columns at
    the right and empty rows are accepted.

    Args:
        path: The file.
        max_rows: More are refused.
        trim: Whether to drop spaces around cells, which people type and programs mean.

    Raises:
        UserError: Not a CSV file in UTF-8, a column without a name or named twice, or too long.
        OSError: The file does not exist or cannot be read.
    """
    content = read_bytes(path, limit=MAX_TABLE_BYTES)
    try:
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
        first = lines.readline()
        stated = re.fullmatch(r"sep=(.)\s*", first)
        if not stated:
            lines.seek(0)
        separator = stated[1] if stated else _separator_of(first)
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=trim, strict=not trim)
        rows = (
            (reader.line_num + bool(stated), [_as_written(c.strip() if trim else c) for c in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        )
        filled = list(islice(rows, max_rows + 2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: must be a CSV file in UTF-8: {error}") from error
    if len(filled) - 1 > max_rows:
        raise UserError(f"{path}: must have at most {max_rows} rows, it has more")
    columns = [unicodedata.normalize("NFC", name) for name in filled[0][1]] if filled else []
    while columns and not columns[-1]:
        columns.pop()
    if wrong := sorted({name for name in columns if not name or columns.count(name) > 1}):
        names = ", ".join(map(repr, wrong))
        raise UserError(f"{path}: each column must have a name of its own, got {names} twice")
    return CsvTable(columns, [(line, _by_column(columns, cells)) for line, cells in filled[1:]])


def _as_written(cell: str) -> str:
    """Take the apostrophe of :func:`csv_cell` away."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def _separator_of(heads: str) -> str:
    bare = re.sub(r'"[^"]*"', "", heads)
    return next((mark for mark in (",", ";", "\t") if mark in bare), ",")


def _by_column(columns: list[str], cells: list[str]) -> dict[str, str]:
    row = dict(zip(columns, cells, strict=False))
    if beyond := " ".join(filter(None, cells[len(columns) :])):
        row[""] = beyond
    return row


def check_row(row: Mapping[str, str], columns: list[str]) -> None:
    """Raise UserError unless a row of :func:`read_csv` has a cell in each column, and no more."""
    if "" in row:
        raise UserError(f"has more cells than the {len(columns)} columns")
    if len(row) < len(columns):
        raise UserError(f"must have {len(columns)} cells, one per column, has {len(row)}")


def find_listed(folder: Path, name: str) -> Path:
    """Return the path of a file that a table or an annotation names, relative to a folder.

    Backslashes are read as slashes, bytes that :func:`write_csv` has escaped as these bytes, and
    names in another Unicode form than the file's are found. A name that is not found is returned
    as it is written.
    """
    plain = folder / name.replace("\0", "\ufffd")
    raw = _ESCAPED_BYTE.sub(lambda found: chr(int(found[1], 16)), name)
    spellings = dict.fromkeys((name, name.replace("\\", "/"), raw))
    forms = [form for text in spellings for form in (
        text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))]  # fmt: skip
    return next(
        (folder / form for form in forms if "\0" not in form and (folder / form).exists()), plain
    )
