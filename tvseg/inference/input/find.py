"""Which photographs to predict: files, folders and CSV lists, each under an id of its own."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvseg.data.images import IMAGE_SUFFIXES
from tvseg.data.laterality import Laterality, parse_laterality
from tvseg.errors import UserError
from tvseg.files import check_row, find_listed, read_csv

DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (*IMAGE_SUFFIXES, *DICOM_SUFFIXES)
COLUMNS = ("id", "path", "laterality", "um_per_px")


@dataclass(frozen=True)
class Photograph:
    """One picture to predict, before it is read.

    Attributes:
        id: Unique in a run, also where the case of letters does not count; names output files.
        path: The file.
        laterality: Which eye it shows, as a list said.
        um_per_px: Micrometres on the retina a pixel, ``None`` when not known.
    """

    id: str
    path: Path
    laterality: Laterality = "unknown"
    um_per_px: float | None = None


def find_photographs(
    inputs: Sequence[Path], *, recursive: bool = False, um_per_px: float | None = None
) -> list[Photograph]:
    """Photographs to predict, in order.

    Args:
        inputs: Files, folders whose pictures are meant, and CSV lists with the columns ``id`` and
            ``path`` (from the list's folder) and, if known, ``laterality`` and ``um_per_px``.
        recursive: Whether pictures of sub-folders are meant too.
        um_per_px: Of photographs for which no list says it.

    Returns:
        Each file once. The id of one that no list names is the file's stem, or its name, or its
        folder's name and its name, or its path below the folder given: the first of these that
        tells all apart.

    Raises:
        ValueError: An input that does not exist, a folder without pictures, a list with mistakes,
            or photographs that no name tells apart.
    """
    listed: list[Photograph] = []
    found: dict[Path, str] = {}  # file -> its path below what was given
    for given in inputs:
        if not given.exists():
            raise UserError(f"photographs must be files or folders; {given} does not exist")
        if given.suffix.lower() == ".csv" and given.is_file():
            listed += _read_list(given, um_per_px)
        elif given.is_dir():
            found |= {path: path.relative_to(given).as_posix() for path in _walk(given, recursive)}
        else:
            found[given] = given.name
    files = {path.resolve(): path for path in found}
    names = _tell_apart([(path, found[path]) for path in files.values()], listed)
    unlisted = zip(names, files.values(), strict=True)
    return listed + [Photograph(name, path, um_per_px=um_per_px) for name, path in unlisted]


def _walk(folder: Path, recursive: bool) -> list[Path]:
    everything: Iterable[Path] = folder.rglob("*") if recursive else folder.iterdir()
    pictures = [
        path
        for path in everything
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    if not pictures:
        more = "" if recursive else "; those of sub-folders are taken with --recursive"
        raise UserError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}){more}")
    return sorted(pictures)


def _tell_apart(files: Sequence[tuple[Path, str]], listed: Sequence[Photograph]) -> list[str]:
    schemes: list[Callable[[Path, str], str]] = [
        lambda path, _: path.stem,
        lambda path, _: path.name,
        lambda path, _: f"{path.resolve().parent.name}_{path.name}",
        lambda _, below: below.replace("/", "_"),
    ]
    for scheme in schemes:
        names = [scheme(path, below) for path, below in files]
        if not _twice([*names, *(photograph.id for photograph in listed)]):
            return names
    raise UserError(
        "photographs must differ in name or folder name, be it only in more than the case of "
        "letters; rename some, list them in a CSV with ids, or predict in parts"
    )


def _twice(names: Iterable[str]) -> list[str]:
    """Names that are there twice for a file system that does not tell A from a."""
    return [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]


def _read_list(path: Path, um_per_px: float | None) -> list[Photograph]:
    table = read_csv(path)
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
                    path=find_listed(path.parent, row["path"]),
                    laterality=parse_laterality(row.get("laterality", "")),
                    um_per_px=_scale(row.get("um_per_px", ""), um_per_px),
                )
            )
        except UserError as error:
            raise UserError(f"{path}, line {line}: {error}") from error
    if twice := _twice(photograph.id for photograph in photographs):
        raise UserError(f"{path} must name each photograph once; {twice[0]!r} is there twice")
    if not photographs:
        raise UserError(f"{path} lists no photographs")
    return photographs


def _file_name(name: str) -> str:
    if not name.strip() or name.startswith(".") or set(name) & set('/\\:*?"<>|\0\n\r'):
        raise UserError(f"an id must be usable as a file's name, got {name!r}")
    return name


def _scale(text: str, default: float | None) -> float | None:
    if not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UserError(f"um_per_px must be a number above 0 or empty, got {text!r}")
    return value
