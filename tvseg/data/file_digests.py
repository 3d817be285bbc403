"""The identity of a folder of files: names and contents, read once."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from tvseg.files import read_json

Digests = dict[str, tuple[int, int, str]]
"""Relative path -> size, time in ns, and digest of the content."""


def digest_files(root: Path, known: Mapping[str, tuple[int, int, str]]) -> Digests:
    """Return the digests of the files below a folder; hidden ones are left out.

    Args:
        root: The folder; links to folders are followed.
        known: Digests of earlier: a file is read again if its size or time changed.

    Raises:
        OSError: A file cannot be read.
    """
    found: Digests = {}
    for path in _files(root):
        about, name = path.stat(), path.relative_to(root).as_posix()
        size, time, digest = known.get(name, (0, 0, ""))
        if (size, time) != (about.st_size, about.st_mtime_ns):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[name] = (about.st_size, about.st_mtime_ns, digest)
    return found


def stamp_of(digests: Digests) -> str:
    """Return a digest of names and contents, the same for a copy of the data."""
    lines = sorted((name, digest) for name, (_, _, digest) in digests.items())
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def read_digests(path: Path) -> Digests:
    """Return the digests that a file keeps, none where it is missing or damaged."""
    try:
        return {name: (int(size), int(time), str(digest))
                for name, (size, time, digest) in read_json(path).items()}  # fmt: skip
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _files(root: Path) -> Iterator[Path]:
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # links may lead in a circle
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(folder, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file())
