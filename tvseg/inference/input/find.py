"""Which photographs to predict: files, folders and CSV lists, each under a unique id."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvseg.csv_files import check_row, find_listed, read_csv
from tvseg.data.images import IMAGE_SUFFIXES
from tvseg.data.laterality import Laterality, parse_laterality
from tvseg.errors import UserError
from tvseg.inference.input.parquet_list import read_parquet
from tvseg.remote_files import File, RemoteFile, check_stores, is_url

DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (*IMAGE_SUFFIXES, *DICOM_SUFFIXES)
LISTS = (".csv", ".parquet")
COLUMNS = ("id", "path", "laterality", "um_per_px")
UM_PER_PX = (0.01, 10_000.0)
MAX_ID_BYTES = 240  # leaves room for the suffixes of output files


@dataclass(frozen=True, slots=True)
class Photograph:
    """One picture to predict, before it is read.

    Attributes:
        id: Unique in a run, also where the case of letters does not count; names output files.
        path: The file.
        laterality: Which eye it shows, as a list said.
        um_per_px: Micrometres on the retina a pixel, ``None`` when not known.
    """

    id: str
    path: File
    laterality: Laterality = "unknown"
    um_per_px: float | None = None


def find_photographs(
    inputs: Sequence[Path],
    *,
    recursive: bool = False,
    um_per_px: float | None = None,
    left_out: Counter[str] | None = None,
) -> list[Photograph]:
    """Find the photographs to predict.

    Args:
        inputs: Files, folders whose pictures are meant, and CSV lists with the columns ``id`` and
            ``path`` (from the list's folder) and, if known, ``laterality`` and ``um_per_px``.
        recursive: Take pictures of sub-folders, too, but of no folder that tvseg predict wrote.
        um_per_px: Of photographs for which no list says it.
        left_out: Counts what folders hold beside pictures, by kind.

    Returns:
        Each file once, in order; a link to a file counts as another one. The id of one that no list
        names is the file's stem, or its name, or its folder's name and its name, or its path below
        the folder given: the first of these that is unique for all.

    Raises:
        UserError: An input that does not exist, a folder without pictures, a list with mistakes,
            or photographs that no name keeps distinct.
    """
    listed: list[Photograph] = []
    found: dict[Path, str] = {}  # file -> its path below what was given
    left_out = Counter() if left_out is None else left_out
    for given in inputs:
        if not given.exists():
            raise UserError(f"photographs must be files or folders; {given} does not exist")
        if given.suffix.lower() in LISTS and given.is_file():
            listed += _read_list(given, um_per_px)
        elif given.is_dir():
            pictures = _walk(given, recursive, left_out)
            found |= {path: path.relative_to(given).as_posix() for path in pictures}
        else:
            found[given] = given.name
    files = {(_real_folder(path), path.name): path for path in found}
    names = _unique_ids([(path, found[path]) for path in files.values()], listed)
    unlisted = zip(names, files.values(), strict=True)
    return listed + [Photograph(name, path, um_per_px=um_per_px) for name, path in unlisted]


def is_dicom(path: File) -> bool:
    """Whether a file is DICOM by its suffix or, without any and on this machine, by its content."""
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    if isinstance(path, RemoteFile):
        return False
    if (path.suffix and not re.fullmatch(r"\.\d+", path.suffix)) or not path.is_file():  # 1.2.840
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _walk(folder: Path, recursive: bool, left_out: Counter[str]) -> list[Path]:
    pictures = []
    for path in _files(folder, recursive, left_out):
        if path.suffix.lower() in SUFFIXES or is_dicom(path):
            pictures.append(path)  # a link without a target, too: it fails where it is read
        else:
            left_out[path.suffix.lower() or "no suffix"] += 1
    if not pictures:
        more = "" if recursive else "; those of sub-folders are taken with --recursive"
        if left_out:
            more += (
                f"; left out: {', '.join(f'{n} {kind}' for kind, n in sorted(left_out.items()))}"
            )
        raise UserError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}){more}")
    return sorted(pictures)


def _files(folder: Path, recursive: bool, left_out: Counter[str]) -> Iterator[Path]:
    """Yield the files of a folder, hidden ones apart."""
    for top, folders, names in os.walk(folder):
        kept = []
        for name in folders if recursive else ():
            path = Path(top, name)
            if name.startswith("."):
                continue
            if path.is_symlink():
                left_out["linked folder"] += 1
            elif (path / "run.json").is_file() and (path / ".progress").is_dir():
                left_out["folder of tvseg predict"] += 1
            else:
                kept.append(name)
        folders[:] = kept
        yield from (Path(top, name) for name in names if not name.startswith("."))


def _real_folder(path: Path) -> Path:
    return Path(os.path.realpath(path.parent))


def _unique_ids(files: Sequence[tuple[Path, str]], listed: Sequence[Photograph]) -> list[str]:
    schemes: list[Callable[[Path, str], str]] = [
        lambda path, _: path.stem,
        lambda path, _: path.name,
        lambda path, _: f"{_real_folder(path).name}_{path.name}",
        lambda _, below: below.replace("/", "_"),
    ]
    for scheme in schemes:
        names = [_usable(scheme(path, below)) for path, below in files]
        twice = _twice([*names, *(photograph.id for photograph in listed)])
        if not twice:
            return names
    raise UserError(
        "photographs must have different names (case and control characters aside), also with the "
        f"folder in front; {twice[0]!r} is there twice: rename one, list them in a CSV with ids, "
        "or run in batches"
    )


def _usable(name: str) -> str:
    """Return a name without characters that no table or file can hold, and short enough."""
    text = re.sub(r"[\x00-\x1f\x7f]", "_", os.fsencode(name).decode("utf-8", "replace"))
    if len(content := text.encode()) <= MAX_ID_BYTES:
        return text
    short = content[: MAX_ID_BYTES - 9].decode("utf-8", "ignore")
    return f"{short}-{hashlib.sha256(content).hexdigest()[:8]}"


def _twice(names: Iterable[str]) -> list[str]:
    """Return the names that occur twice for a file system that ignores case."""
    return [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]


def _read_list(path: Path, um_per_px: float | None) -> list[Photograph]:
    is_csv = path.suffix.lower() == ".csv"
    table = read_csv(path) if is_csv else read_parquet(path)
    if set(table.columns) - set(COLUMNS) or not {"id", "path"} <= set(table.columns):
        raise UserError(
            f"{path} must have the columns id and path and may have laterality and um_per_px, "
            f"got {', '.join(table.columns) or 'none'}"
        )
    photographs = []
    for line, row in table.rows:
        try:
            check_row(row, table.columns)
            photographs.append(
                Photograph(
                    id=_file_name(row["id"]),
                    path=_file(path.parent, row["path"]),
                    laterality=parse_laterality(row.get("laterality", "")),
                    um_per_px=_scale(row.get("um_per_px", ""), um_per_px),
                )
            )
        except UserError as error:
            raise UserError(f"{path}, {'line' if is_csv else 'row'} {line}: {error}") from error
    if twice := _twice(photograph.id for photograph in photographs):
        raise UserError(f"{path} must name each photograph once; {twice[0]!r} is there twice")
    if not photographs:
        raise UserError(f"{path} lists no photographs")
    check_stores([one.path for one in photographs if isinstance(one.path, RemoteFile)])
    return photographs


def _file(folder: Path, name: str) -> File:
    return RemoteFile(name) if is_url(name) else find_listed(folder, name)


def _file_name(name: str) -> str:
    if not name.strip() or name.startswith(".") or set(name) & set('/\\:*?"<>|\0\n\r'):
        raise UserError(f"an id must be usable as a file's name, got {name!r}")
    if len(name.encode()) > MAX_ID_BYTES:
        raise UserError(f"an id must have at most {MAX_ID_BYTES} bytes, got {name[:40]!r}...")
    return name


def _scale(text: str, default: float | None) -> float | None:
    if not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not UM_PER_PX[0] <= value <= UM_PER_PX[1]:
        raise UserError(
            f"um_per_px must be a number from {UM_PER_PX[0]:g} to {UM_PER_PX[1]:g}, or empty, "
            f"got {text!r}"
        )
    return value
