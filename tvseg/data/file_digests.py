"""The identity of a folder of files: names and contents, read once."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from tvseg.errors import UserError
from tvseg.files import MAX_JSON_BYTES, read_bytes, write_bytes


@dataclass(frozen=True)
class FolderDigests:
    """What the files below a folder hold.

    Attributes:
        root: The folder, resolved.
        files: Relative path -> size, times of change in ns (of the content, of anything), and
            digest of the content.
    """

    root: str = ""
    files: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)

    @property
    def stamp(self) -> str:
        """A digest of names and contents, the same for a copy of the data."""
        lines = sorted((name, about[-1]) for name, about in self.files.items())
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Keep them in a file."""
        write_bytes(path, _ADAPTER.dump_json(self))


_ADAPTER = TypeAdapter(FolderDigests)


def digest_files(root: Path, known: FolderDigests) -> FolderDigests:
    """Return the digests of the files below a folder; hidden ones are left out.

    Args:
        root: The folder; links are followed.
        known: Of an earlier call: if it was of the same folder, a file is read again only where its
            size or times changed.

    Raises:
        OSError: A file or folder cannot be read.
    """
    real = str(root.resolve())
    before = known.files if known.root == real else {}
    found = {}
    for path in tqdm(list(_files(root)), desc="Reading the data", leave=False, disable=None):
        about, name = path.stat(), path.relative_to(root).as_posix()
        changed = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        kept = before.get(name)
        if kept and kept[:3] == changed:
            found[name] = kept
            continue
        with path.open("rb") as file:
            found[name] = (*changed, hashlib.file_digest(file, "sha256").hexdigest())
    return FolderDigests(real, found)


def read_digests(path: Path) -> FolderDigests:
    """Return the digests that a file keeps, none where it is missing or damaged."""
    try:
        return _ADAPTER.validate_json(read_bytes(path, limit=MAX_JSON_BYTES), strict=True)
    except (OSError, UserError, ValidationError):
        return FolderDigests()


def _files(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:  # a link leads back
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path, (*above, real))
        elif path.is_file():
            yield path
