"""ORIGA(-light), 650 photographs, in the forms in which it goes round.

Layouts::

    Images/001.jpg      Semi-automatic-annotations/001.mat   (variable mask)   OrigaList.csv
    650image/NAME.jpg   650mask/NAME.mat                     (variable maskFull)
    Images/001.jpg      Masks/001.png

Labels hold 0 background, 1 rim, 2 cup. Where several kinds of masks are present, the
``.mat`` files count. ``OrigaList.csv`` tells the eye (OD right, OS left) and the two halves:
set A trains, set B tests. Folders of cropped or square copies are left alone.

Source: Zhang et al., "ORIGA-light: an online retinal fundus image database for glaucoma analysis
and research", EMBC 2010; names and variables as in published readers of the archive.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.io import loadmat, whosmat

from tvseg.csv_files import read_csv
from tvseg.data.centres import CUP_AND_DISC, MaskEncoding
from tvseg.data.images import MAX_SIDE_PX
from tvseg.data.prepare.raw_case import (
    Choices,
    Found,
    Masks,
    RawCase,
    decode,
    pair,
    read_encoded,
)
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError
from tvseg.files import check_regular

CENTRE = "ORIGA"
LAYOUT = "Images/*.jpg and Semi-automatic-annotations/*.mat, or 650image/*.jpg and 650mask/*.mat"
ENCODING = MaskEncoding({0: (), 1: ("disc",), 2: CUP_AND_DISC}, CUP_AND_DISC)

_PHOTOGRAPH = re.compile(r"(?:^|/)(?:images|650image)/([^/]+)\.jpe?g$", re.IGNORECASE)
_MASK = re.compile(
    r"(?:^|/)(?:semi-automatic-annotations[^/]*|650mask|manual marking|masks)/([^/]+)\.(mat|png)$",
    re.IGNORECASE,
)
_VARIABLES = ("mask", "maskFull")
_EYES = {"OD": "R", "OS": "L", "": ""}
_SPLITS = {"A": "train", "B": "test", "": ""}


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Photographs with one label array each; split and eye from the list, if present."""
    photographs, masks = [], []
    for file in files:
        if match := _PHOTOGRAPH.search(file.name):
            photographs.append((match[1], file))
        elif match := _MASK.search(file.name):
            masks.append((match[1], match[2].lower(), file))
    kind = "mat" if any(part == "mat" for _, part, _ in masks) else "png"
    masks = [mask for mask in masks if mask[1] == kind]
    pairs, problems = pair(photographs, masks, parts=[kind], centre=CENTRE)
    eyes, splits = _read_list(files)
    read = _read_mat if kind == "mat" else partial(read_encoded, encoding=ENCODING)
    cases = [
        RawCase(
            CENTRE,
            one.key,
            one.photograph,
            partial(read, one.masks[kind]),
            eye=eyes.get(one.key, ""),
            split=splits.get(one.key, ""),
        )
        for one in pairs
    ]
    return Found(cases, problems)


def _read_list(files: Sequence[RawFile]) -> tuple[dict[str, str], dict[str, str]]:
    """Return eyes and splits by name, empty without a list."""
    listing = next((file for file in files if file.name.endswith("/OrigaList.csv")), None)
    if listing is None:
        return {}, {}
    table = read_csv(listing.path)
    if lacking := {"Filename", "Eye", "Set"} - set(table.columns):
        raise UserError(f"{listing.name} must have columns Eye, Filename, Set; no {lacking}")
    eyes, splits = {}, {}
    for line, row in table.rows:
        name, eye, half = (row.get(key, "").strip(" '\"") for key in ("Filename", "Eye", "Set"))
        if eye not in _EYES or half not in _SPLITS:  # some copies quote twice
            where = f"{listing.name}, line {line}"
            raise UserError(f"{where}: Eye must be OD or OS and Set A or B, got {eye} and {half}")
        stem = name.rpartition(".")[0]
        eyes[stem], splits[stem] = _EYES[eye], _SPLITS[half]
    return eyes, splits


def _read_mat(file: RawFile) -> Masks:
    check_regular(file.path)
    try:
        shapes = {name: shape for name, shape, _ in whosmat(file.path)}
        name = next((name for name in _VARIABLES if name in shapes), None)
        if name is None:
            raise UserError(
                f"{file.path}: must hold a variable {' or '.join(_VARIABLES)}, has "
                f"{', '.join(shapes) or 'none'}"
            )
        if len(shapes[name]) != 2 or max(shapes[name]) > MAX_SIDE_PX:
            raise UserError(
                f"{file.path}: {name} must be a matrix of at most {MAX_SIDE_PX} rows and columns, "
                f"has the shape {shapes[name]}"
            )
        labels = loadmat(file.path, variable_names=[name])[name]
        known = np.isin(labels, list(ENCODING.values)).all()
    except UserError:
        raise
    except Exception as error:  # on damaged files scipy raises errors of any kind
        reason = str(error) or type(error).__name__
        raise UserError(f"{file.path}: cannot be read as a MATLAB file: {reason}") from error
    if not known:
        raise UserError(
            f"{file.path}: {name} must be a matrix of 0, 1 and 2, got values up to "
            f"{labels.max(initial=0)}"
        )
    return decode(labels.astype(np.uint8), ENCODING, file)
