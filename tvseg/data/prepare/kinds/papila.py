"""PAPILA: 488 photographs, both eyes of 244 patients, outlined by two experts.

Layout::

    FundusImages/RET002OD.jpg
    ExpertsSegmentations/Contours/RET002OD_{cup,disc}_exp{1,2}.txt

A contour is a line of x and y in px for each corner. OD is the right eye, OS the left one. The
archive holds copies of some contours ("..._exp2 2.txt"), which are left alone.

Source: Kovalyk et al., "PAPILA: Dataset with fundus images and clinical data of both eyes of the
same patient for glaucoma assessment", Scientific Data 9:291, 2022, doi:10.1038/s41597-022-01388-1;
doi:10.6084/m9.figshare.14798004; folders as in published readers of the archive.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from skimage.draw import polygon

from tvseg.data.centres import CUP_AND_DISC
from tvseg.data.images import read_image
from tvseg.data.prepare.raw_case import Choices, Found, Masks, RawCase, pair
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError
from tvseg.files import read_bytes

CENTRE = "PAPILA"
LAYOUT = "FundusImages/RET*.jpg and ExpertsSegmentations/Contours/RET*_{cup,disc}_exp{1,2}.txt"
TRUTHS = ("expert1", "expert2")
MAX_CONTOUR_BYTES = 2**20

_EYES = {"OD": "R", "OS": "L"}
_PHOTOGRAPH = re.compile(r"(?:^|/)FundusImages/(RET\d+)(OD|OS)\.jpe?g$", re.I)
_CONTOUR = re.compile(r"(?:^|/)Contours/(RET\d+(?:OD|OS))_(cup|disc)_exp(\d)\.txt$", re.I)


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Cases with the contours of one expert; patient and eye from the name."""
    photographs, contours = [], []
    eyes = {}
    for file in files:
        if match := _PHOTOGRAPH.search(file.name):
            name = f"{match[1]}{match[2]}".upper()
            photographs.append((name, file))
            eyes[name] = (match[1].upper(), _EYES[match[2].upper()])
        elif (match := _CONTOUR.search(file.name)) and f"expert{match[3]}" == choices.truth:
            contours.append((match[1].upper(), match[2].lower(), file))
    pairs, problems = pair(photographs, contours, parts=CUP_AND_DISC, centre=CENTRE)
    cases = []
    for one in pairs:
        patient, eye = eyes[one.key]
        read = partial(_read, one.photograph, one.masks)
        cases.append(RawCase(CENTRE, one.key, one.photograph, read, patient=patient, eye=eye))
    return Found(cases, problems)


def _read(photograph: RawFile, contours: dict[str, RawFile]) -> Masks:
    height, width = read_image(photograph.path).shape[:2]
    masks = {}
    for structure, file in contours.items():
        corners = _corners(file)
        masks[structure] = np.zeros((height, width), bool)
        rows, cols = polygon(corners[:, 1], corners[:, 0], (height, width))
        masks[structure][rows, cols] = True
    return masks


def _corners(file: RawFile) -> np.ndarray:
    """Return x and y of each corner, float64 (N, 2)."""
    text = read_bytes(file.path, limit=MAX_CONTOUR_BYTES).decode("utf-8", "replace")
    try:
        corners = np.array([[float(part) for part in row.split()] for row in text.splitlines()])
    except ValueError:
        corners = np.empty(0)
    if (
        corners.ndim != 2
        or corners.shape[1] != 2
        or len(corners) < 3
        or not np.isfinite(corners).all()
    ):
        raise UserError(f"{file.path}: a contour must have x and y on each of three lines or more")
    return corners
