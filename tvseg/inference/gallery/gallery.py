"""A folder of predictions as one HTML page to look through."""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tvseg.csv_files import find_listed
from tvseg.data.geometry import Box
from tvseg.errors import UserError
from tvseg.files import open_atomically
from tvseg.inference.gallery.thumbnails import bytes_each, small_jpeg
from tvseg.inference.input.read import read_photograph
from tvseg.inference.output.formats.overlay import COLOURS, OTHER_COLOURS
from tvseg.inference.output.read_back import Polygons, WrittenFolder
from tvseg.pages import data_uri, environment

GENERATOR = '<meta name="generator" content="tvseg view">'
_KNOWN = ("id", "path", "flags", "vcdr", "roi_confidence")  # columns that a card shows at its top
_DECIMALS = 1  # of outlines, in px of the photograph
_MARGIN = 0.35  # about the structures, a share of their longer side
_LEAST_GAIN = 1.25  # below this an enlargement shows nothing that the whole picture does not


class Shot(NamedTuple):
    """A picture in the page, and the rectangle of the photograph that it shows."""

    source: str
    shown: Box


@dataclass
class Entry:
    """What the page tells of one photograph.

    Attributes:
        row: Of ``measurements.csv``.
        flags: Of the row.
        vcdr: Vertical cup-to-disc ratio, if there is one.
        confidence: That the region holds a disc, 0 to 1, if it was searched for.
        facts: The other measurements, as the table has them.
        problem: Why there is no picture, or nothing.
        whole: The photograph.
        disc: The structures enlarged, unless they fill the photograph.
        right: Whether the structures lie to the right of the enlargement's middle.
        paths: Structure -> outline as an SVG path in the photograph's coordinates.
    """

    row: Mapping[str, str]
    flags: list[str]
    vcdr: float | None
    confidence: float | None
    facts: dict[str, str]
    problem: str = ""
    whole: Shot | None = None
    disc: Shot | None = None
    right: bool = False
    paths: dict[str, str] = field(default_factory=dict)


def check_free(path: Path) -> None:
    """Raise unless a file may be written: there is none, or it is an earlier gallery.

    Raises:
        ValueError: There is a folder or another file.
    """
    if path.is_dir():
        raise UserError(f"a gallery is a file, {path} is a folder; give a name in it as --out")
    if path.exists():
        with path.open("rb") as file:
            if GENERATOR.encode() not in file.read(1000):
                raise UserError(f"{path} is no gallery of tvseg; give another --out or remove it")


def write_gallery(folder: WrittenFolder, path: Path) -> list[tuple[str, str]]:
    """Write the page, which refers to nothing outside itself.

    Args:
        folder: What to show. Photographs are read from where they were predicted; paths that are
            not absolute count from the working folder.
        path: File to write.

    Returns:
        Id and reason of each photograph that is listed without its picture.

    Raises:
        ValueError: No photograph can be shown, or another file is in the way.
        OSError: The page cannot be written.
    """
    check_free(path)
    templates = environment("tvseg.inference.gallery")
    script = templates.get_template("gallery.js").render()
    problems: list[tuple[str, str]] = []
    with open_atomically(path) as file:
        for piece in templates.get_template("gallery.html.jinja").generate(
            script=script,
            digest=_digest(script),
            generator=GENERATOR,
            title=folder.path.resolve().name,
            folder=folder,
            colours=_colours(folder.structures),
            flags=_count_flags(folder.rows),
            has_vcdr=any(row.get("vcdr") for row in folder.rows),
            has_confidence=any(row["roi_confidence"] for row in folder.rows),
            cards=_cards(folder, problems),
        ):
            file.write(piece.encode("utf-8", "backslashreplace"))
        if folder.rows and len(problems) == len(folder.rows):
            name, reason = problems[0]
            raise UserError(
                f"photographs and outlines must lie where they were; none of {len(problems)} can "
                f"be shown, first {name}: {reason}; relative paths count from the folder in which "
                "tvseg predict ran"
            )
    return problems


def _digest(script: str) -> str:
    """By which the page's policy knows the one script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _colours(structures: Sequence[str]) -> dict[str, str]:
    found = {}
    for index, name in enumerate(structures):
        red, green, blue = COLOURS.get(name, OTHER_COLOURS[index % len(OTHER_COLOURS)])
        found[name] = f"rgb({red} {green} {blue})"
    return found


def _count_flags(rows: Sequence[Mapping[str, str]]) -> dict[str, int]:
    return dict(Counter(flag for row in rows for flag in _flags(row)).most_common())


def _flags(row: Mapping[str, str]) -> list[str]:
    return [flag for flag in row["flags"].split("; ") if flag]


def _cards(folder: WrittenFolder, problems: list[tuple[str, str]]) -> Iterator[Entry]:
    most = bytes_each(len(folder.rows))
    for row in tqdm(folder.rows, desc="drawing", unit="image"):
        card = Entry(
            row=row,
            flags=_flags(row),
            vcdr=_number(row.get("vcdr", "")),
            confidence=_number(row["roi_confidence"]),
            facts={key: text for key, text in row.items() if text and key not in _KNOWN},
        )
        try:
            _picture(card, folder.outlines(row["id"]), most)
        except (ValueError, OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
            card.problem = f"{getattr(error, 'filename', None) or row['path']}: {reason}"
            problems.append((row["id"], card.problem))
        yield card


def _picture(card: Entry, outlines: Mapping[str, Polygons], most_bytes: int) -> None:
    """Put pictures and outlines on a card."""
    image = read_photograph(find_listed(Path(), card.row["path"]))[0]
    height, width = image.shape[:2]
    predicted = (card.row["height_px"], card.row["width_px"])
    if predicted != (str(height), str(width)):
        raise UserError(
            f"must be the photograph that was predicted, of {predicted[1]} x {predicted[0]} px, "
            f"it has {width} x {height} px now"
        )
    each = most_bytes * 3 // 8  # two of them, a third longer as text
    card.paths = {name: _path(polygons) for name, polygons in outlines.items()}
    card.whole = Shot(_source(image, each), Box.frame(image))
    points = [polygon for polygons in outlines.values() for polygon in polygons]
    if not points:
        return
    low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
    (left, top), (cols, rows) = low.astype(int), np.ceil(high - low).astype(int)
    box = Box(int(top), int(left), int(rows), int(cols))
    square = box.square(_MARGIN).moved_into(height, width)
    if max(height, width) >= _LEAST_GAIN * square.side:
        card.disc = Shot(_source(image[square.slices], each), square)
        card.right = box.centre[1] > square.centre[1] + 1


def _source(image: np.ndarray, most_bytes: int) -> str:
    return data_uri(small_jpeg(image, most_bytes), "image/jpeg")


def _path(polygons: Polygons) -> str:
    return "".join(
        "M" + "L".join(f"{x:.{_DECIMALS}f},{y:.{_DECIMALS}f}" for x, y in polygon) + "Z"
        for polygon in polygons
    )


def _number(text: str) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError as error:
        raise UserError(f"measurements.csv is damaged: {text!r} must be a number") from error
    return None if math.isnan(value) else value
