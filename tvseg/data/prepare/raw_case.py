"""What an adapter finds: raw cases, and files that make none."""

import filecmp
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvseg.data.centres import MaskEncoding
from tvseg.data.images import read_labels
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError

Masks = dict[str, np.ndarray]
"""Structure -> bool (H, W)."""


@dataclass(frozen=True)
class RawCase:
    """A photograph and what was drawn on it, not yet read.

    Args:
        centre: Folder of the centre below the data root.
        name: Name to write it under, without a suffix.
        photograph: The picture.
        masks: Reads the masks, of the photograph's size; raises ValueError.
        patient: Whose eye it is; empty where it is not known.
        eye: ``L``, ``R`` or empty.
        split: ``train`` or ``test`` as the data set defines it, or empty.
        stereo: Two views of one eye side by side; the half that was drawn on is the case.
    """

    centre: str
    name: str
    photograph: RawFile
    masks: Callable[[], Masks]
    patient: str = ""
    eye: str = ""
    split: str = ""
    stereo: bool = False


@dataclass(frozen=True)
class RawProblem:
    """A file that cannot become a case, of a centre, and why; the case's name where known."""

    centre: str
    file: str
    reason: str
    name: str = ""


@dataclass(frozen=True)
class Found:
    """What an adapter found."""

    cases: list[RawCase]
    problems: list[RawProblem]


@dataclass(frozen=True)
class Choices:
    """What a user may choose about reading.

    Args:
        truth: Whose drawing counts, one of the adapter's ``truths``.
        structures: What drawings must show, where the data set prescribes nothing.
        encoding_of: Centre -> encoding of its label images, where the data set prescribes none.
    """

    truth: str
    structures: Sequence[str]
    encoding_of: Callable[[str], MaskEncoding]


@dataclass(frozen=True)
class PairedFiles:
    """A photograph and its mask files by part, e.g. ``cup`` and ``disc``, or ``labels``."""

    key: str
    photograph: RawFile
    masks: dict[str, RawFile]


def pair(
    photographs: Iterable[tuple[str, RawFile]],
    masks: Iterable[tuple[str, str, RawFile]],
    *,
    parts: Sequence[str],
    centre: str,
) -> tuple[list[PairedFiles], list[RawProblem]]:
    """Match photographs and masks by key.

    Args:
        photographs: (key, file); a key is the case's name, folders that matter before it.
        masks: (key, part, file).
        parts: The parts that each photograph needs.
        centre: Named in the problems.

    Returns:
        The pairs, by key, and a problem for each photograph without a part, each mask without a
        photograph, and each second file of a key that is not a copy of the first.
    """
    problems: list[RawProblem] = []
    pictures: dict[str, RawFile] = {}
    drawn: dict[str, dict[str, RawFile]] = {}
    for key, file in photographs:
        problems += _take(pictures, key, file, centre, _name_of(key))
    for key, part, file in masks:
        problems += _take(drawn.setdefault(key, {}), part, file, centre, _name_of(key))
    for key in sorted(drawn.keys() - pictures.keys()):
        reason = "a mask without a photograph of its name"
        for file in drawn[key].values():
            problems.append(RawProblem(centre, file.name, reason, _name_of(key)))
    pairs = []
    for key, file in sorted(pictures.items()):
        lacking = [part for part in parts if part not in drawn.get(key, {})]
        if lacking:
            reason = f"a photograph without a mask of its name ({', '.join(lacking)})"
            problems.append(RawProblem(centre, file.name, reason, _name_of(key)))
        else:
            pairs.append(PairedFiles(key, file, drawn[key]))
    return pairs, problems


def is_plain(name: str) -> bool:
    """Return whether a file or folder may be called so: no folders in it, and not hidden."""
    return Path(name).name == name and not name.startswith(".") and not set(name) & {"\\", "\0"}


def _name_of(key: str) -> str:
    return key.rpartition("/")[2]


def _take(
    taken: dict[str, RawFile], key: str, file: RawFile, centre: str, name: str
) -> list[RawProblem]:
    """The first file of a key is taken, copies of it are passed over, others are problems."""
    first = taken.setdefault(key, file)
    if first is file or filecmp.cmp(first.path, file.path, shallow=False):
        return []
    reason = f"another file of the same name: {first.name}"
    return [RawProblem(centre, file.name, reason, name)]


def read_binary(file: RawFile) -> np.ndarray:
    """A mask of one structure, bool (H, W): 0 outside, one other value inside.

    Raises:
        ValueError: Not a picture, more than 8 bits, colours, or more than two values.
    """
    labels = read_labels(file.path)
    inside = [int(value) for value in np.unique(labels) if value]
    if len(inside) > 1:
        some = ", ".join(map(str, inside[:5]))
        raise UserError(
            f"{file.path}: a mask of one structure must hold 0 and one other value, got 0, {some}"
            f"{', ...' if len(inside) > 5 else ''}"
        )
    return labels > 0


def read_binaries(files: dict[str, RawFile]) -> Masks:
    """:func:`read_binary` for each structure."""
    return {structure: read_binary(file) for structure, file in files.items()}


def read_encoded(file: RawFile, encoding: MaskEncoding) -> Masks:
    """All structures of one label image.

    Raises:
        ValueError: Not a picture, more than 8 bits, colours, or values outside the encoding.
    """
    return decode(read_labels(file.path), encoding, file)


def decode(labels: np.ndarray, encoding: MaskEncoding, file: RawFile) -> Masks:
    """Masks of a label image, uint8 (H, W), that was read from a file."""
    try:
        masks = encoding.decode(labels)
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error
    return dict(zip(encoding.structures, masks, strict=True))
