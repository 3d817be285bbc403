"""Files written whole or not at all, and read within bounds."""

import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from tvseg.errors import UserError

MAX_JSON_BYTES = 2**28

_TEMPORARY = re.compile(r"\.tvseg-[0-9a-f]{32}")  # short: a file's name may have 255 bytes


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file piece by piece; it takes its name, fsynced, when the block ends well.

    A link is followed, an older file keeps its permissions, and a device or pipe is written to.

    Raises:
        OSError: The file cannot be written; an older file of the name is left as it was.
    """
    older = _status(path)
    if older and not stat.S_ISREG(older.st_mode) and not stat.S_ISDIR(older.st_mode):
        with _naming(path), path.open("wb") as file:
            yield file
        return
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tvseg-{uuid.uuid4().hex}")
    try:
        with _naming(path):
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if older:
                    temporary.chmod(stat.S_IMODE(older.st_mode))
            temporary.replace(target)
    except BaseException:
        with suppress(OSError):  # the first error is the one to read
            temporary.unlink()
        raise


def _status(path: Path) -> os.stat_result | None:
    """Return what a file is, links followed; nothing where there is none.

    Raises:
        OSError: Links that lead in a circle, or a folder that may not be read.
    """
    with suppress(FileNotFoundError):
        return path.stat()
    return None


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


def is_temporary(name: str) -> bool:
    """Return whether a file's name is that of one being written."""
    return bool(_TEMPORARY.fullmatch(name))


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed process left below a folder that it alone wrote."""
    for path in list(folder.rglob(".*")):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


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
