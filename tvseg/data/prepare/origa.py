"""ORIGA(-light), 650 photographs, in the forms in which it goes round.

Layouts::

    Images/001.jpg      Semi-automatic-annotations/001.mat   (variable mask)   OrigaList.csv
    650image/NAME.jpg   650mask/NAME.mat                     (variable maskFull)
    Images/001.jpg      Masks/001.png

Labels hold 0 background, 1 rim, 2 cup. Where several kinds of masks are present, the owner's
``.mat`` files count. ``OrigaList.csv`` tells the eye (OD right, OS left) and the owner's halves:
set A trains, set B tests. Folders of cropped or square copies are left alone.

Source: Zhang et al., "ORIGA-light: an online retinal fundus image database for glaucoma analysis
and research", EMBC 2010; names and variables as in published readers of the archive.
"""

import re
import zlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from tvseg.data.centres import MaskEncoding
from tvseg.data.prepare.raw_case import (
    CUP_AND_DISC,
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
    """Photographs with one label array each; split and eye from the owner's list, if present."""
    photographs, masks = [], []
    for file in files:
        if match := _PHOTOGRAPH.search(file.name):
            photographs.append((match[1], file))
        elif match := _MASK.search(file.name):
            masks.append((match[1], match[2].lower(), file))
    kind = "mat" if any(part == "mat" for _, part, _ in masks) else "png"
    masks = [mask for mask in masks if mask[1] == kind]
    pairs, problems = pair(photographs, masks, parts=[kind], centre=CENTRE)
    eyes, splits = _owners_list(files)
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


def _owners_list(files: Sequence[RawFile]) -> tuple[dict[str, str], dict[str, str]]:
    """Eyes and splits by name, empty without a list."""
    listing = next((file for file in files if file.name.endswith("/OrigaList.csv")), None)
    if listing is None:
        return {}, {}
    table = pd.read_csv(listing.path, dtype=str, keep_default_na=False)
    if lacking := {"Filename", "Eye", "Set"} - set(table.columns):
        raise UserError(f"{listing.name} must have columns Eye, Filename, Set; no {lacking}")
    bare = table.map(lambda cell: cell.strip(" '\""))  # some copies quote twice
    names = [name.rpartition(".")[0] for name in bare["Filename"]]
    if strange := (set(bare["Eye"]) - _EYES.keys()) | (set(bare["Set"]) - _SPLITS.keys()):
        raise UserError(
            f"{listing.name}: Eye must be OD or OS and Set A or B, got {', '.join(sorted(strange))}"
        )
    eyes = {name: _EYES[eye] for name, eye in zip(names, bare["Eye"], strict=True)}
    return eyes, {name: _SPLITS[half] for name, half in zip(names, bare["Set"], strict=True)}


def _read_mat(file: RawFile) -> Masks:
    try:
        variables = loadmat(file.path)
    except (ValueError, TypeError, OSError, NotImplementedError, MatReadError, zlib.error) as error:
        raise UserError(f"{file.path}: cannot be read as a MATLAB file: {error}") from error
    name = next((name for name in _VARIABLES if name in variables), None)
    if name is None:
        own = [name for name in variables if not name.startswith("__")]
        raise UserError(
            f"{file.path}: must hold a variable {' or '.join(_VARIABLES)}, has {', '.join(own)}"
        )
    labels = variables[name]
    if labels.ndim != 2 or not np.isin(labels, list(ENCODING.values)).all():
        raise UserError(
            f"{file.path}: {name} must be a matrix of 0, 1 and 2, got shape {labels.shape} "
            f"and values up to {labels.max(initial=0)}"
        )
    return decode(labels.astype(np.uint8), ENCODING, file)
