"""Files written whole or not at all, and read within bounds."""

import csv
import io
import json
import os
import re
import shutil
import stat
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from tvseg.errors import UserError

MAX_JSON_BYTES = 2**28
MAX_TABLE_BYTES = 2**28
MAX_TABLE_ROWS = 1_000_000

_TEMPORARY = re.compile(r"\.tvseg-[0-9a-f]{32}")  # short: a file's name may have 255 bytes
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file piece by piece; it takes its name, fsynced, when the block ends well.

    A link is followed, an older file keeps its permissions, and a device or pipe is written to.

    Raises:
        OSError: The file cannot be written; an older file of the name is left as it was.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    older = target.stat() if target.exists() else None
    if older and not stat.S_ISREG(older.st_mode) and not target.is_dir():
        with _naming(path), target.open("wb") as file:
            yield file
        return
    temporary = target.with_name(f".tvseg-{uuid.uuid4().hex}")
    try:
        with _naming(path), temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if older:
                temporary.chmod(stat.S_IMODE(older.st_mode))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the file's name to errors of the system, such as a full disk, that name none or ours."""
    try:
        yield
    except OSError as error:
        if error.filename is None or _TEMPORARY.fullmatch(Path(str(error.filename)).name):
            error.filename = str(path)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once: temporary file beside it, fsync, rename.

    Raises:
        OSError: The file cannot be written; an older file of the name is left as it was.
    """
    with open_atomically(path) as file:
        file.write(content)


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed process left below a folder that it alone wrote."""
    for path in list(folder.rglob(".*")):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


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


def as_text(name: str) -> str:
    """Return a file's name with the bytes escaped that are not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8; bytes of file names that are no text are written escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """:func:`write_bytes` for a JSON tree, indented."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_bytes(path: Path, *, limit: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        UserError: A device, pipe or folder, or a file of more than ``limit`` bytes.
        OSError: The file does not exist or cannot be read.
    """
    size = check_regular(path)
    if size > limit:
        raise UserError(f"{path}: must have at most {limit} bytes, has {size}")
    return path.read_bytes()


def check_regular(path: Path) -> int:
    """Return the size of a regular file in bytes, or of one that a link leads to.

    Raises:
        UserError: A device, pipe or folder, which may never end.
        OSError: The file does not exist.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: must be a regular file, not a folder, device or pipe")
    return status.st_size


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """Make a folder ``.NAME-...`` for unfinished work and remove it at the end.

    Folders of this name that killed processes left are removed first.

    Args:
        parent: An existing folder.
        name: What the work is called.
    """
    for left in parent.glob(f".{name}-*/"):
        with suppress(Timeout), FileLock(f"{left}.lock", timeout=0):
            shutil.rmtree(left)
            Path(f"{left}.lock").unlink()
    folder = parent / f".{name}-{uuid.uuid4().hex[:8]}"
    try:
        with FileLock(f"{folder}.lock"):
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"{folder}.lock").unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file in UTF-8, with or without a byte order mark.

    Raises:
        UserError: Not JSON, nested too deeply, or of more than ``MAX_JSON_BYTES``.
        OSError: The file does not exist or cannot be read.
    """
    return parse_json(read_bytes(path, limit=MAX_JSON_BYTES), path)


def parse_json(content: bytes | str, source: object) -> Any:
    """Return what a JSON text holds.

    Args:
        content: The text.
        source: Where it comes from, named in errors.

    Raises:
        UserError: Not JSON, or nested too deeply.
    """
    try:
        return json.loads(content if isinstance(content, str) else content.decode("utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{source}: cannot be read as JSON: {error}") from error
    except RecursionError as error:
        raise UserError(f"{source}: cannot be read as JSON: nested too deeply") from error


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
        filled = [
            (reader.line_num + bool(stated), [_as_written(c.strip() if trim else c) for c in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: must be a CSV file in UTF-8: {error}") from error
    if len(filled) - 1 > max_rows:
        raise UserError(f"{path}: must have at most {max_rows} rows, has {len(filled) - 1}")
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

    Backslashes are read as slashes, and names in another Unicode form than the file's are found.
    A name that is not found is returned as it is written.
    """
    plain = folder / name.replace("\0", "\ufffd")
    spellings = dict.fromkeys((name, name.replace("\\", "/")))
    forms = [form for text in spellings for form in (
        text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))]  # fmt: skip
    return next(
        (folder / form for form in forms if "\0" not in form and (folder / form).exists()), plain
    )
