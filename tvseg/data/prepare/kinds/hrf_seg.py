"""HRF-Seg+: the photographs of HRF, resized to 500 x 500 px, with disc and cup.

Layout::

    HRF-Seg+/Folder_6_Original_Images/01_g.*
    HRF-Seg+/Folder_1_Optic_Disc/01_g.png
    HRF-Seg+/Folder_2_Optic_Cup/01_g.png

A structure is what is opaque in its picture. The disc's may leave the cup out; the cup is added.
Whole photographs of 3504 x 2336 px were squeezed to squares, so discs are narrow and small. Names
tell the diagnosis, neither patient nor eye.

Source: "HRF-Seg+: A Multi-Structure Annotated Fundus Image Dataset with Optic Disc, Cup, Vessels,
Alpha and Beta Zones", Zenodo, doi:10.5281/zenodo.16744782; photographs of Budai et al., "Robust
Vessel Segmentation in Fundus Images", 2013, doi:10.1155/2013/154860; folders as in published
readers of the archive.
"""

import re
from collections.abc import Sequence
from functools import partial

from tvseg.data.centres import CUP_AND_DISC
from tvseg.data.images import read_opaque
from tvseg.data.prepare.raw_case import Choices, Found, Masks, RawCase, pair
from tvseg.data.prepare.raw_files import RawFile

CENTRE = "HRF-Seg"
LAYOUT = "Folder_6_Original_Images/*, Folder_1_Optic_Disc/*.png and Folder_2_Optic_Cup/*.png"

_PHOTOGRAPH = re.compile(r"(?:^|/)Folder_6_Original_Images/([^/]+)\.(?:jpe?g|png|tiff?)$", re.I)
_MASK = re.compile(r"(?:^|/)Folder_\d_Optic_(Disc|Cup)/([^/]+)\.png$", re.I)


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Photographs with a picture of each structure; names are compared in lower case."""
    photographs, masks = [], []
    for file in files:
        if match := _PHOTOGRAPH.search(file.name):
            photographs.append((match[1].lower(), file))
        elif match := _MASK.search(file.name):
            masks.append((match[2].lower(), match[1].lower(), file))
    pairs, problems = pair(photographs, masks, parts=CUP_AND_DISC, centre=CENTRE)
    cases = [RawCase(CENTRE, one.key, one.photograph, partial(_read, one.masks)) for one in pairs]
    return Found(cases, problems)


def _read(files: dict[str, RawFile]) -> Masks:
    cup, disc = (read_opaque(files[name].path) for name in ("cup", "disc"))
    return {"cup": cup, "disc": disc | cup if disc.shape == cup.shape else disc}
