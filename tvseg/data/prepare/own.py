"""Photographs and drawings of your own, listed in a CSV file.

Columns, in any order; only ``photograph`` and one of the three kinds of drawing are needed::

    photograph            picture file, like all files relative to the CSV file's folder
    cup, disc, ...        a mask file for each structure, 0 outside and one other value inside
    mask                  instead: one label image, its values in the encoding of the settings
    polygons              instead: a LabelMe or COCO JSON file, labels named as the structures
    centre                folder to write to
    name                  name to write under, by default the photograph's
    patient, eye          whose eye it is: patients are kept on one side of a split; L or R
    split                 train or test
"""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tvseg.data.prepare.polygons import read_polygons
from tvseg.data.prepare.raw_case import (
    Choices,
    Found,
    Problem,
    RawCase,
    is_plain,
    read_binaries,
    read_encoded,
)
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError

CENTRE = "own"
LAYOUT = "a CSV file with the columns photograph, cup and disc (or mask, or polygons)"

_ABOUT = ("photograph", "centre", "name", "patient", "eye", "split")
_ALLOWED = {"eye": ("", "L", "R"), "split": ("", "train", "test")}


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """A case a row; a row that is wrong in itself is a problem.

    Raises:
        ValueError: Not exactly one CSV file, or columns missing or unknown.
    """
    listings = [file for file in files if file.name.lower().endswith(".csv")]
    if len(listings) != 1:
        raise UserError(f"the source must be one CSV file, it holds {len(listings)}")
    (listing,) = listings
    structures = choices.structures
    known = (*_ABOUT, *structures, "mask", "polygons")
    columns, rows = _read_rows(listing)
    if "photograph" not in columns or sorted(set(columns) & set(known)) != sorted(columns):
        raise UserError(
            f"{listing.name} must have a column photograph, and may have {', '.join(known[1:])}, "
            f"each once; it has {', '.join(columns) or 'none'}"
        )
    found = Found([], [])
    for index, row in enumerate(rows):
        cells = {column: (row[column] or "").strip() for column in columns}
        try:
            if None in row:
                raise UserError(f"has more cells than the {len(columns)} columns")
            found.cases.append(_case(cells, listing.path.parent, choices))
        except ValueError as error:
            line = f"{listing.name}, row {index + 1}"
            centre = cells.get("centre") or CENTRE
            found.problems.append(Problem(centre, line, str(error), cells.get("name", "")))
    return found


def _read_rows(listing: RawFile) -> tuple[list[str], list[dict[Any, Any]]]:
    """Columns, and rows by column; cells beyond the columns stand under ``None``."""
    try:
        with listing.path.open(encoding="utf-8-sig", newline="") as file:  # as spreadsheets write
            table = csv.DictReader(file, skipinitialspace=True)
            return list(table.fieldnames or []), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{listing.name} must be a CSV file in UTF-8: {error}") from error


def _case(cells: dict[str, str], folder: Path, choices: Choices) -> RawCase:
    for column, allowed in _ALLOWED.items():
        if cells.get(column, "") not in allowed:
            options = ", ".join(filter(None, allowed))
            raise UserError(f"{column} must be {options} or empty, got {cells[column]!r}")
    for column in ("centre", "name"):
        if not is_plain(cells.get(column, "")):
            raise UserError(f"{column} must be a plain name, got {cells[column]!r}")
    photograph = _file(cells, "photograph", folder)
    centre = cells.get("centre") or CENTRE
    structures = choices.structures
    drawn = [column for column in ("mask", "polygons", *structures) if cells.get(column)]
    if drawn == ["mask"]:
        read = partial(read_encoded, _file(cells, "mask", folder), choices.encoding_of(centre))
    elif drawn == ["polygons"]:
        drawing = _file(cells, "polygons", folder)
        read = partial(read_polygons, drawing, photograph.path.name, structures)
    elif sorted(drawn) == sorted(structures):
        read = partial(read_binaries, {name: _file(cells, name, folder) for name in structures})
    else:
        raise UserError(
            f"a row needs mask, or polygons, or {' and '.join(structures)}; "
            f"this one has {', '.join(drawn) or 'none'}"
        )
    return RawCase(
        centre,
        cells.get("name") or photograph.path.stem,
        photograph,
        read,
        patient=cells.get("patient", ""),
        eye=cells.get("eye", ""),
        split=cells.get("split", ""),
    )


def _file(cells: dict[str, str], column: str, folder: Path) -> RawFile:
    path = folder / cells[column]
    if not cells[column] or not path.is_file():
        raise UserError(f"{column}: there is no file {cells[column] or '(empty)'}")
    return RawFile(cells[column], path)
