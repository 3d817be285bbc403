"""Drishti-GS1 as it is downloaded.

Layout::

    Drishti-GS1_files/Training/Images/[ALL/]drishtiGS_004.png
    Drishti-GS1_files/Training/GT/drishtiGS_004/SoftMap/drishtiGS_004_{ODsegSoftmap,cupsegSoftmap}.png
    Drishti-GS1_files/Test/Images/[ALL/]drishtiGS_001.png
    Drishti-GS1_files/Test/{Test_GT,GT}/drishtiGS_001/SoftMap/...

A soft map counts the experts, out of four, who marked a pixel: 0, 64, 128, 191, 255.

Source: Sivaswamy et al., "A comprehensive retinal image dataset for the assessment of glaucoma
from the optic nerve head analysis", JSM Biomedical Imaging Data Papers 2015; the archive itself.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from tvseg.data.centres import CUP_AND_DISC
from tvseg.data.images import read_labels
from tvseg.data.prepare.raw_case import Choices, Found, Masks, RawCase, pair
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError

CENTRE = "Domain1"
LAYOUT = "Training/Images/**/*.png and Training/GT/NAME/SoftMap/*.png, and Test the same"
LEVELS = {"4of4": 255, "3of4": 191, "2of4": 128, "1of4": 64}
"""How many experts must agree -> least value of the soft map; the benchmark takes all four."""

_STEPS = (0, 64, 128, 191, 255)
_ROUNDING = 1  # 63.75 and 191.25 are stored either way
_PHOTOGRAPH = re.compile(r"(?:^|/)(Training|Test)/Images/(?:[^/]+/)?([^/]+)\.(?i:png)$")
_SOFT_MAP = re.compile(
    r"(?:^|/)(Training|Test)/(?:Test_)?GT/[^/]+/SoftMap/([^/]+)_(ODseg|cupseg)Softmap\.(?i:png)$"
)
_SPLITS = {"Training": "train", "Test": "test"}
_PARTS = {"ODseg": "disc", "cupseg": "cup"}


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Cases of both folders; the data set's split; names tell neither patient nor eye."""
    photographs, maps = [], []
    for file in files:
        if match := _PHOTOGRAPH.search(file.name):
            photographs.append((f"{match[1]}/{match[2]}", file))
        elif match := _SOFT_MAP.search(file.name):
            maps.append((f"{match[1]}/{match[2]}", _PARTS[match[3]], file))
    pairs, problems = pair(photographs, maps, parts=CUP_AND_DISC, centre=CENTRE)
    cases = []
    for one in pairs:
        folder, name = one.key.split("/")
        read = partial(_read_soft_maps, one.masks, LEVELS[choices.truth])
        cases.append(RawCase(CENTRE, name, one.photograph, read, split=_SPLITS[folder]))
    return Found(cases, problems)


def _read_soft_maps(maps: dict[str, RawFile], level: int) -> Masks:
    masks = {}
    for structure, file in maps.items():
        votes = read_labels(file.path)
        values = np.unique(votes).astype(int)
        if (np.abs(values[:, None] - np.array(_STEPS)).min(axis=1) > _ROUNDING).any():
            raise UserError(
                f"{file.path}: a soft map of four experts must hold {', '.join(map(str, _STEPS))}, "
                f"got {len(values)} values from {values[0]} to {values[-1]}"
            )
        masks[structure] = votes >= level - _ROUNDING
    return masks
