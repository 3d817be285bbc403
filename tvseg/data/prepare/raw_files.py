"""Raw material as files: folders, zip archives, and zip archives inside either."""

import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from tvseg.errors import UserError
from tvseg.files import as_text, check_regular

MAX_DEPTH = 32
"""Folders and archives inside one another."""

MAX_MEMBERS = 200_000
MAX_UNPACKED_BYTES = 64 * 2**30
"""Of all archives of one preparation."""

_LEFT_BY_SYSTEMS = {"__MACOSX", "Thumbs.db", "desktop.ini"}
_LOCKED = 1  # bit of a member's flags
_ADVICE = "unpack it with another program and give the folder"


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
    """List all files of the sources, without what operating systems leave behind.

    Archives are unpacked. Each folder is listed once, however many links lead to it.

    Args:
        sources: Folders, zip archives or single files.
        unpacked: A folder to unpack archives into.

    Raises:
        UserError: An archive that is damaged, half downloaded, locked with a password or too
            large, or folders and archives nested too deeply.
        FileNotFoundError: A source does not exist.
    """
    walk = _Walk(unpacked)
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(2, "there is no such file or folder", str(source))
    files = [file for source in sources for file in walk.files_of(source, source.resolve().name, 0)]
    while walk.links:  # after all folders, which keep their own names so
        path, name, depth = walk.links.pop(0)
        files += walk.files_of(path, name, depth)
    return files


class _Walk:
    """Folders listed so far, links to folders still to be followed, and bytes unpacked."""

    def __init__(self, unpacked: Path) -> None:
        self.unpacked = unpacked
        self.links: list[tuple[Path, str, int]] = []
        self._listed: set[tuple[int, int]] = set()
        self._archives = 0
        self._bytes = 0

    def files_of(self, path: Path, name: str, depth: int) -> Iterator[RawFile]:
        if depth > MAX_DEPTH:
            raise UserError(f"{name}: folders and archives must be nested {MAX_DEPTH} deep at most")
        if path.is_dir():
            status = path.stat()
            if (status.st_dev, status.st_ino) in self._listed:
                return
            self._listed.add((status.st_dev, status.st_ino))
            for entry in sorted(path.iterdir()):
                if entry.name.startswith(".") or entry.name in _LEFT_BY_SYSTEMS:
                    continue
                if entry.is_symlink() and entry.is_dir():
                    self.links.append((entry, f"{name}/{entry.name}", depth + 1))
                else:
                    yield from self.files_of(entry, f"{name}/{entry.name}", depth + 1)
        elif path.suffix.lower() == ".zip":
            yield from self.files_of(self._unpack(path, name), name, depth + 1)
        else:
            yield RawFile(as_text(name), path)

    def _unpack(self, archive: Path, name: str) -> Path:
        folder = self.unpacked / f"{self._archives:04d}"
        folder.mkdir(parents=True)
        self._archives += 1
        check_regular(archive)
        try:
            with zipfile.ZipFile(archive) as packed:
                members = packed.infolist()
                self._check(members, name)
                for member in tqdm(members, f"unpacking {archive.name}", leave=False):
                    _extract(packed, member, name, folder)
        except zipfile.BadZipFile as error:
            raise UserError(
                f"{name}: must be a whole zip archive: {error}; download it again"
            ) from error
        return folder

    def _check(self, members: Sequence[zipfile.ZipInfo], name: str) -> None:
        """Raise UserError for an archive that is locked, of an unknown kind or too large."""
        if len(members) > MAX_MEMBERS:
            raise UserError(
                f"{name}: an archive must have at most {MAX_MEMBERS} members, this one has "
                f"{len(members)}; {_ADVICE}"
            )
        if any(member.flag_bits & _LOCKED for member in members):
            raise UserError(f"{name}: is locked with a password; {_ADVICE}")
        size = sum(member.file_size for member in members)
        self._bytes += size
        free = shutil.disk_usage(self.unpacked).free
        if size > free or self._bytes > MAX_UNPACKED_BYTES:
            raise UserError(
                f"{name}: unpacks to {size / 1e9:.1f} GB; {free / 1e9:.1f} GB are free in "
                f"{self.unpacked.parent.parent}, and all archives together may take "
                f"{MAX_UNPACKED_BYTES / 1e9:.0f} GB"
            )


def _extract(packed: zipfile.ZipFile, member: zipfile.ZipInfo, archive: str, folder: Path) -> None:
    """Extract a member below a folder; zipfile itself drops ``..`` and drive letters."""
    member.filename = member.filename.replace("\\", "/")  # as .NET writes folders
    parts = PurePosixPath(member.filename).parts
    if len(parts) > MAX_DEPTH:
        raise UserError(
            f"{archive}: folders must be nested {MAX_DEPTH} deep at most, "
            f"{'/'.join(parts[:2])}/... is {len(parts)}"
        )
    if not any(part.strip("./") for part in parts) or set(parts) & _LEFT_BY_SYSTEMS:
        return
    try:
        packed.extract(member, folder)
    except NotImplementedError as error:
        raise UserError(
            f"{archive}: {member.filename} is packed in a way that Python does not know ({error}); "
            f"{_ADVICE}"
        ) from error
    except Exception as error:  # a damaged member: zlib, lzma and bz2 have errors of their own
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, f"{archive}: {member.filename}") from error
        raise UserError(
            f"{archive}: {member.filename} is damaged: {error}; download the archive again"
        ) from error
