"""GRAPE: 631 photographs of 263 eyes at several visits, disc and cup drawn on regions of them.

Layout of the unpacked archives (.rar, which Python does not know)::

    ROI images/SUBJECT_EYE_VISIT.jpg
    json/SUBJECT_EYE_VISIT.json         LabelMe, with the labels OD (disc) and OC (cup)

The corners are in px of the region, and the archive does not say where in the photograph (folder
CFPs) a region lies. So the regions are taken as they are. EYE is OD for the right one and OS.

Source: Huang et al., "GRAPE: A multi-modal dataset of longitudinal follow-up visual field and
fundus images for glaucoma management", Scientific Data 10:520, 2023,
doi:10.1038/s41597-023-02424-4; doi:10.6084/m9.figshare.c.6406319; folders and labels as in
published readers of the archive.
"""

import re
from collections.abc import Sequence
from functools import partial

from tvseg.data.prepare.kinds.polygons import read_polygons
from tvseg.data.prepare.raw_case import Choices, Found, Masks, RawCase, pair
from tvseg.data.prepare.raw_files import RawFile

CENTRE = "GRAPE"
LAYOUT = "ROI images/SUBJECT_EYE_VISIT.jpg and json/SUBJECT_EYE_VISIT.json"
LABELS = {"cup": "OC", "disc": "OD"}

_EYES = {"OD": "R", "OS": "L"}
_REGION = re.compile(r"(?:^|/)ROI images/(?:[^/]+/)*(\d+)_(OD|OS)_(\d+)\.jpe?g$", re.I)
_DRAWN = re.compile(r"(?:^|/)json/(?:[^/]+/)*(\d+_(?:OD|OS)_\d+)\.json$", re.I)


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Cases with the archive's polygons; patient and eye from the name, visits side by side."""
    regions, drawn = [], []
    for file in files:
        if match := _REGION.search(file.name):
            regions.append(("_".join(match.groups()).upper(), file))
        elif match := _DRAWN.search(file.name):
            drawn.append((match[1].upper(), "polygons", file))
    pairs, problems = pair(regions, drawn, parts=["polygons"], centre=CENTRE)
    cases = []
    for one in pairs:
        patient, eye, _ = one.key.split("_")
        read = partial(_read, one.masks["polygons"], one.photograph)
        cases.append(
            RawCase(CENTRE, one.key, one.photograph, read, patient=patient, eye=_EYES[eye])
        )
    return Found(cases, problems)


def _read(file: RawFile, region: RawFile) -> Masks:
    masks = read_polygons(file, region.name, list(LABELS.values()))
    return {structure: masks[label] for structure, label in LABELS.items()}
