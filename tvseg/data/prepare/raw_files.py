"""Raw material as files: folders, zip archives, and zip archives inside either."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvseg.errors import UserError

_LEFT_BY_SYSTEMS = {"__MACOSX", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class RawFile:
    """A file of the raw material.

    Args:
        name: As the user knows it, from the source's own name on, archives counted as folders,
            e.g. ``REFUGE-Training400.zip/Training400/Glaucoma/g0001.jpg``.
        path: Where it can be read now.
    """

    name: str
    path: Path


def gather(sources: Sequence[Path], unpacked: Path) -> list[RawFile]:
    """All files of the sources, archives unpacked, without what operating systems leave behind.

    Args:
        sources: Folders, zip archives or single files.
        unpacked: A folder to unpack archives into.

    Raises:
        ValueError: An archive that is damaged, half downloaded or locked with a password.
        FileNotFoundError: A source does not exist.
    """
    found: list[RawFile] = []
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(2, "there is no such file or folder", str(source))
        found += _files_of(source, source.resolve().name, unpacked)
    return found


def _files_of(path: Path, name: str, unpacked: Path) -> Iterator[RawFile]:
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if not entry.name.startswith(".") and entry.name not in _LEFT_BY_SYSTEMS:
                yield from _files_of(entry, f"{name}/{entry.name}", unpacked)
    elif path.suffix.lower() == ".zip":
        yield from _files_of(_unpack(path, unpacked), name, unpacked)
    else:
        yield RawFile(name, path)


def _unpack(archive: Path, unpacked: Path) -> Path:
    unpacked.mkdir(parents=True, exist_ok=True)
    folder = unpacked / f"{len(list(unpacked.iterdir())):04d}"
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)  # which refuses members outside the folder
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(
            f"{archive} must be a whole zip archive without a password: {error}; download it again"
        ) from error
    folder.mkdir(exist_ok=True)  # an empty archive makes none
    return folder
