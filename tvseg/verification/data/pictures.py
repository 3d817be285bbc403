"""Pictures of faces in memory: a training set with identities, and sets of pairs.

A data root holds::

    train/ID/*.jpg            or train.rec and train.idx (InsightFace)
    pairs_val.txt             pairs to choose the epoch on, pictures below eval/
    pairs_test.txt            pairs for the score, pictures below eval/
    NAME.bin                  verification packs (InsightFace), scored under their names

Any other list goes by its own name: ``NAME.txt`` or ``NAME.csv`` beside a folder ``NAME`` or
``eval`` of pictures.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tvseg.errors import UserError
from tvseg.verification.data.packs import read_pack
from tvseg.verification.data.pairs import FOLDS, SUFFIXES, Pair, files_of, read_pairs
from tvseg.verification.data.recordio import RecordFile

VALIDATION = "pairs_val"
MAX_SIDE_PX = 4096
_FORMATS = ("JPEG", "PNG", "BMP")


@dataclass(frozen=True)
class Faces:
    """Pictures with identities.

    Attributes:
        names: Of the pictures: files below the root, or keys of an archive.
        pixels: uint8 (N, S, S, 3), RGB.
        identities: int64 (N,), 0 to the number of people - 1.
        people: Names of the people, in the order of their numbers.
    """

    names: tuple[str, ...]
    pixels: np.ndarray
    identities: np.ndarray
    people: tuple[str, ...]


@dataclass(frozen=True)
class PairSet:
    """Pairs and their pictures.

    Attributes:
        name: Of the set, such as ``lfw``.
        pairs: Whose pictures are numbers into ``pixels``.
        pixels: uint8 (N, S, S, 3), RGB.
        names: Of the pictures, as the list has them.
    """

    name: str
    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    fold: np.ndarray
    pixels: np.ndarray
    names: tuple[str, ...]


Source = tuple[str, str, Callable[[], bytes]]
"""A picture's name, its person's name, and a function that reads its encoded bytes."""


def training_pictures(root: Path) -> Iterator[Source]:
    """Return the pictures of a training set, person by person.

    Args:
        root: Folder that holds ``train/ID/*.jpg`` or ``train.rec``.

    Raises:
        UserError: There is no training set, or its archive is damaged.
    """
    archive = root / "train.rec"
    if archive.is_file():
        records = RecordFile(archive)
        for record in records:
            yield str(record.key), str(record.identity), _always(record.encoded)
        return
    folder = root / "train"
    if not folder.is_dir():
        raise UserError(
            f"{root} must hold train/ID/*.jpg, a folder for each person, or train.rec; make drawn "
            f"ones with 'tvseg faces synth {root}'"
        )
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in sorted(person.iterdir()):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield f"{person.name}/{path.name}", person.name, path.read_bytes


def read_faces(root: Path, *, side_px: int) -> Faces:
    """Decode a training set into memory.

    Args:
        root: See :func:`training_pictures`.
        side_px: Side to which pictures of another size are resized.

    Raises:
        UserError: A picture is damaged, or there are fewer than two people.
    """
    sources = list(training_pictures(root))
    people = tuple(dict.fromkeys(person for _, person, _ in sources))
    if len(people) < 2:
        raise UserError(f"{root} must hold pictures of at least 2 people, holds {len(people)}")
    numbers = {person: number for number, person in enumerate(people)}
    return Faces(
        tuple(name for name, _, _ in sources),
        _decoded(root, [(name, read) for name, _, read in sources], side_px),
        np.array([numbers[person] for _, person, _ in sources]),
        people,
    )


def pair_files(root: Path) -> dict[str, Path]:
    """Return the sets of pairs below a root by name: packs, lists, folders of CFP's protocol."""
    found = {path.stem: path for path in sorted(root.glob("*.bin"))}
    found |= {path.stem: path for path in sorted((*root.glob("*.txt"), *root.glob("*.csv")))}
    found |= {path.parent.name: path for path in sorted(root.glob("*/Protocol")) if path.is_dir()}
    return found


def read_pair_set(path: Path, *, side_px: int, name: str | None = None) -> PairSet:
    """Read a set of pairs and decode its pictures.

    Args:
        path: See :func:`listed_pairs`.
        side_px: Side to which pictures of another size are resized.
        name: Of the set; by default the file's.

    Raises:
        UserError: A file is missing or damaged.
    """
    pairs, readers = listed_pairs(path)
    numbers = {name: number for number, (name, _) in enumerate(readers)}
    return PairSet(
        name or path.stem,
        np.array([numbers[pair.left] for pair in pairs]),
        np.array([numbers[pair.right] for pair in pairs]),
        np.array([pair.same for pair in pairs]),
        np.array([pair.fold for pair in pairs]),
        _decoded(path, readers, side_px),
        tuple(name for name, _ in readers),
    )


def listed_pairs(path: Path) -> tuple[list[Pair], list[tuple[str, Callable[[], bytes]]]]:
    """Read a set of pairs, with a function for each picture that reads its encoded bytes.

    Args:
        path: A pack ``NAME.bin``, a list of pairs, or the folder ``Protocol`` of CFP. Pictures of
            a list are below a folder of the list's name, below ``eval``, or beside the list.

    Raises:
        UserError: The list or its pictures are missing, or the list is damaged.
    """
    if path.suffix == ".bin":
        encoded, labels = read_pack(path)
        count = len(labels)
        pairs = [
            Pair(str(2 * k), str(2 * k + 1), same, k * FOLDS // count)
            for k, same in enumerate(labels)
        ]
        return pairs, [(str(number), _always(body)) for number, body in enumerate(encoded)]
    pairs = read_pairs(path)
    names = files_of(pairs)
    folder = _pictures_of(path, names[0])
    return pairs, [(name, _reader(folder / name, path)) for name in names]


def _always(encoded: bytes) -> Callable[[], bytes]:
    return lambda: encoded


def _pictures_of(path: Path, first: str) -> Path:
    """Return the folder that the names of a list are below."""
    beside = path.parent
    folders = (beside / path.stem, beside / "eval", beside, beside.parent)
    for folder in folders:
        if (folder / first).is_file():
            return folder
    raise UserError(
        f"{path} names {first}, which is in none of {', '.join(map(str, folders))}; put the "
        f"pictures into {folders[0]}"
    )


def _reader(file: Path, listed: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        if not file.is_file():
            raise UserError(f"{listed} names {file}, which is missing")
        return file.read_bytes()

    return read


def _decoded(
    origin: Path, readers: Sequence[tuple[str, Callable[[], bytes]]], side_px: int
) -> np.ndarray:
    pixels = np.empty((len(readers), side_px, side_px, 3), np.uint8)
    for number, (name, read) in enumerate(readers):
        try:
            pixels[number] = fitted(decode(read()), side_px)
        except UserError as error:
            raise UserError(f"{origin}: picture {name}: {error}") from error
    return pixels


def decode(encoded: bytes) -> np.ndarray:
    """Decode a JPEG, PNG or BMP picture to uint8 (H, W, 3), RGB.

    Raises:
        UserError: It is damaged, of another format, or too large.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as picture:
            if max(picture.size) > MAX_SIDE_PX:
                raise UserError(
                    f"must be at most {MAX_SIDE_PX} px a side, is {picture.width} x "
                    f"{picture.height}"
                )
            return np.asarray(picture.convert("RGB"))
    except UserError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise UserError(
            f"must be a JPEG, PNG or BMP picture ({type(error).__name__}: {error})"
        ) from error


def fitted(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Resize a picture to a square of ``side_px``; one of that size stays as it is."""
    if pixels.shape[:2] == (side_px, side_px):
        return pixels
    shrinks = min(pixels.shape[:2]) >= side_px
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(pixels, (side_px, side_px), interpolation=how)
    return resized
