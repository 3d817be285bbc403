"""Photographs and drawings of your own, listed in a CSV file.

Columns, in any order; only ``photograph`` and one of the three kinds of drawing are needed::

    photograph            picture file, like all files relative to the CSV file's folder
    cup, disc, ...        a mask file for each structure, 0 outside and one other value inside
    mask                  instead: one label image, its values in the encoding of the settings
    polygons              instead: a LabelMe or COCO JSON file, labels named as the structures
    centre                folder to write to
    name                  name to write under, by default the photograph's
    patient, eye          whose eye it is: patients are kept on one side of a split; L or R
                          (or OS, OD, left, right)
    split                 train or test
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from tvseg.csv_files import find_listed, read_csv
from tvseg.data.laterality import LETTERS, parse_laterality
from tvseg.data.prepare.kinds.polygons import read_polygons
from tvseg.data.prepare.raw_case import (
    Choices,
    Found,
    RawCase,
    RawProblem,
    is_plain,
    read_binaries,
    read_encoded,
)
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError

CENTRE = "own"
LAYOUT = "a CSV file with the columns photograph, cup and disc (or mask, or polygons)"

_ABOUT = ("photograph", "centre", "name", "patient", "eye", "split")
MAX_ROWS = 100_000
"""Of a table; each row is a photograph to be read and cut."""


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Return a case for each row, and a problem for each row that is wrong in itself.

    Raises:
        UserError: Not exactly one CSV file, or columns missing or unknown.
    """
    listings = [file for file in files if file.name.lower().endswith(".csv")]
    if len(listings) != 1:
        raise UserError(f"the source must be one CSV file, it holds {len(listings)}")
    (listing,) = listings
    known = (*_ABOUT, *choices.structures, "mask", "polygons")
    table = read_csv(listing.path, max_rows=MAX_ROWS)
    if "photograph" not in table.columns or set(table.columns) - set(known):
        raise UserError(
            f"{listing.name} must have a column photograph, and may have {', '.join(known[1:])}; "
            f"it has {', '.join(table.columns) or 'none'}"
        )
    found = Found([], [])
    for line, cells in tqdm(table.rows, "reading the table", leave=False):
        try:
            if "" in cells:
                raise UserError(f"has more cells than the {len(table.columns)} columns")
            found.cases.append(_case(cells, listing.path.parent, choices))
        except UserError as error:
            where, centre = f"{listing.name}, line {line}", cells.get("centre") or CENTRE
            found.problems.append(RawProblem(centre, where, str(error), cells.get("name", "")))
    return found


def _case(cells: dict[str, str], folder: Path, choices: Choices) -> RawCase:
    if cells.get("split", "") not in ("", "train", "test"):
        raise UserError(f"split must be train, test or empty, got {cells['split']!r}")
    eye = LETTERS[parse_laterality(cells.get("eye", ""))]
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
        read = partial(read_polygons, drawing, photograph.name, structures)
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
        eye=eye,
        split=cells.get("split", ""),
    )


def _file(cells: dict[str, str], column: str, folder: Path) -> RawFile:
    name = cells.get(column, "")
    path = find_listed(folder, name)
    if not name or not path.is_file():
        raise UserError(f"{column}: there is no file {name or '(empty)'} in the table's folder")
    return RawFile(name, path)
