"""The identity of a folder of files: names and contents, read once."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import StrictInt, StrictStr, TypeAdapter, ValidationError
from tqdm import tqdm

from tvseg.errors import UserError
from tvseg.files import read_json, write_bytes


@dataclass(frozen=True)
class FolderDigests:
    """What the files below a folder hold.

    Attributes:
        root: The folder, resolved.
        files: Relative path -> size, times of change in ns (of the content, of anything), and
            digest of the content; of a link to another folder below, where it leads.
    """

    root: StrictStr = ""
    files: dict[str, tuple[StrictInt, StrictInt, StrictInt, StrictStr]] = field(
        default_factory=dict
    )

    @property
    def stamp(self) -> str:
        """A digest of names and contents, the same for a copy of the data."""
        lines = sorted((name, about[-1]) for name, about in self.files.items())
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Keep them in a file."""
        write_bytes(path, json.dumps(asdict(self)).encode())  # names that are no text as well


_ADAPTER = TypeAdapter(FolderDigests)


def digest_files(root: Path, known: FolderDigests) -> FolderDigests:
    """Return the digests of the files below a folder; hidden ones are left out.

    Args:
        root: The folder; links that lead out of it are followed.
        known: Of an earlier call: if it was of the same folder, a file is read again only where its
            size or times changed.

    Raises:
        OSError: A file or folder cannot be read.
    """
    real = os.path.realpath(root)
    before = known.files if known.root == real else {}
    found = {}
    for path in tqdm(list(_files(root, real)), desc="Reading the data", leave=False, disable=None):
        about, name = path.stat(), path.relative_to(root).as_posix()
        changed = (about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        kept = before.get(name)
        if stat.S_ISDIR(about.st_mode):
            found[name] = (0, 0, 0, f"link to {os.path.relpath(os.path.realpath(path), real)}")
        elif kept and kept[:3] == changed:
            found[name] = kept
        else:
            found[name] = (*changed, digest_file(path))
    return FolderDigests(real, found)


def digest_file(path: Path) -> str:
    """Return a digest of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_digests(path: Path) -> FolderDigests:
    """Return the digests that a file keeps, none where it is missing or damaged."""
    try:
        return _ADAPTER.validate_python(read_json(path))
    except (OSError, UserError, ValidationError):
        return FolderDigests()


def _files(folder: Path, root: str, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield the files below a folder, and links to folders below the root."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_dir():
            if path.is_file():
                yield path
            continue
        real = os.path.realpath(path)
        if path.is_symlink() and f"{real}/".startswith(f"{root}/"):
            yield path
        elif real not in above:  # else a link outside leads back
            yield from _files(path, root, (*above, real))
