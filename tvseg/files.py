"""Writing files so that a reader, a crash or a full disk never meets half of one."""

import json
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}")


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file piece by piece; it takes its name, fsynced, when the block ends well.

    Raises:
        OSError: The file cannot be written; an older file of the name is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
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


def write_text(path: Path, text: str) -> None:
    """:func:`write_bytes` for text, as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """:func:`write_bytes` for a JSON tree, indented."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
