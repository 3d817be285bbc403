"""Chaksu IMAGE: 1345 photographs of three cameras, each drawn on by five experts.

Layout of the archives Train.zip and Test.zip, CAMERA being Bosch, Forus or Remidio::

    {Train,Test}/1.0_Original_Fundus_Images/CAMERA/NAME.{jpg,JPG,png}
    {Train,Test}/4.0_OD_CO_Fusion_Images/CAMERA/{STAPLE,Majority,Mean,Median}/NAME.*
    {Train,Test}/4.0_OD_CO_Fusion_Images/Expert {1..5}/CAMERA/NAME.*

Label images are about 127 on the rim and 255 in the cup; some are JPEG, so the nearest of 0, 127
and 255 counts. Each camera becomes a centre of its own. Names of cameras and folders vary in case
and spelling (Remedio). Names tell neither patient nor eye.

Source: Kumar et al., "Chaksu: A glaucoma specific fundus image database", Scientific Data 10:70,
2023, doi:10.1038/s41597-023-01943-4; doi:10.6084/m9.figshare.20123135; folders as in published
readers of the archive.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np

from tvseg.data.centres import CUP_AND_DISC
from tvseg.data.images import read_labels
from tvseg.data.prepare.raw_case import Choices, Found, Masks, RawCase, pair
from tvseg.data.prepare.raw_files import RawFile

CAMERAS = ("Bosch", "Forus", "Remidio")
LAYOUT = "{Train,Test}/1.0_Original_Fundus_Images/CAMERA/* and 4.0_OD_CO_Fusion_Images/**"
TRUTHS = {
    **{name.lower(): name for name in ("STAPLE", "Majority", "Mean", "Median")},
    **{f"expert{number}": f"Expert {number}" for number in range(1, 6)},
}
"""Choices of ``--truth`` -> the archive's folders."""

_CAMERA = r"(Bosch|Forus|Rem[ie]dio)"
_PHOTOGRAPH = re.compile(
    rf"(?:^|/)(Train|Test)/1\.0_Original_Fundus_Images/{_CAMERA}/([^/]+)\.(?:jpe?g|png)$", re.I
)
_DRAWN = re.compile(
    rf"(?:^|/)(Train|Test)/4\.0_OD_CO_Fusion_Images/(?:(Expert.?\d)/)?{_CAMERA}/(?:(\w+)/)?"
    r"([^/]+)\.(?:tiff?|jpe?g|png|bmp)$",
    re.I,
)
_RIM, _CUP = 64, 191  # least values: halfway from 0 to 127, and from 127 to 255


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Cases of every camera with the label images of one truth; the archive's split."""
    folder = _plain(TRUTHS[choices.truth])
    photographs: dict[str, list[tuple[str, RawFile]]] = {camera: [] for camera in CAMERAS}
    drawn: dict[str, list[tuple[str, str, RawFile]]] = {camera: [] for camera in CAMERAS}
    for file in files:
        if match := _PHOTOGRAPH.search(file.name):
            split, camera, name = match.groups()
            photographs[_camera_of(camera)].append((f"{split.lower()}/{name}", file))
        elif match := _DRAWN.search(file.name):
            split, expert, camera, fusion, name = match.groups()
            if _plain(expert or fusion or "") == folder:
                drawn[_camera_of(camera)].append((f"{split.lower()}/{name}", "labels", file))
    cases, problems = [], []
    for camera in CAMERAS:
        centre = f"Chaksu-{camera}"
        pairs, lacking = pair(photographs[camera], drawn[camera], parts=["labels"], centre=centre)
        problems += lacking
        for one in pairs:
            split, name = one.key.split("/")
            read = partial(_read, one.masks["labels"])
            cases.append(RawCase(centre, name, one.photograph, read, split=split))
    return Found(cases, problems)


def _read(file: RawFile) -> Masks:
    labels = read_labels(file.path)
    masks = {"cup": labels >= _CUP, "disc": labels >= _RIM}
    return {name: np.asarray(masks[name]) for name in CUP_AND_DISC}


def _camera_of(folder: str) -> str:
    """Return the camera whose folder begins alike: archives hold Remidio and Remedio."""
    return next(camera for camera in CAMERAS if camera[0].lower() == folder[0].lower())


def _plain(folder: str) -> str:
    return re.sub(r"[^a-z0-9]", "", folder.lower())
