"""RIM-ONE r3 and RIM-ONE DL as they are downloaded.

Layouts::

    RIM-ONE r3/{Healthy,Glaucoma and suspects}/Stereo Images/N-1-L.jpg
    RIM-ONE r3/.../Expert1_masks/N-1-L-1-{Cup,Disc}-exp1.png       (Expert2_masks the same)
    RIM-ONE r3/.../Average_masks/N-1-L-{Cup,Disc}-Avg.png

    RIM-ONE_DL_images/partitioned_randomly/{training_set,test_set}/.../r3_G-1-L_left_half.png
    RIM-ONE_DL_reference_segmentations/{glaucoma,normal}/r3_G-1-L_left_half-1-{Cup,Disc}-T.png

A photograph of r3 is a stereo pair, 2144 x 1424 px with one view in each half; its masks are as
large and drawn in one of the halves, the left one. DL brings ROIs, of r3 and of the two older
releases, names beginning with r3_, r1_ and r2_.

Letters before the number: N normal, G glaucoma, S suspect; L and R are the eye. The number counts
photographs; nothing tells which two belong to one patient.

Source: Fumero et al., "Interactive tool and database for optic disc and cup segmentation of stereo
and monocular retinal fundus images", 2015; Batista et al., "RIM-ONE DL", Image Analysis &
Stereology 39(3), 2020; file names of both archives.
"""

import re
from collections.abc import Iterable, Sequence
from functools import partial

from tvseg.data.centres import CUP_AND_DISC
from tvseg.data.prepare.raw_case import (
    Choices,
    Found,
    RawCase,
    RawProblem,
    pair,
    read_binaries,
)
from tvseg.data.prepare.raw_files import RawFile

CENTRE = "Domain2"
LAYOUT_R3 = "Healthy/Stereo Images/*.jpg and Healthy/Average_masks/*.png, and other folders alike"
LAYOUT_DL = (
    "partitioned_randomly/**/{training_set,test_set}/**/*.png and "
    "RIM-ONE_DL_reference_segmentations/**/*-{Cup,Disc}-T.png"
)
FOLDERS = {"average": "Average", "expert1": "Expert1", "expert2": "Expert2"}
"""Whose drawing -> folder of r3."""

_STEREO = re.compile(r"(?:^|/)Stereo Images/([^/]+)\.jpg$", re.IGNORECASE)
_R3_MASK = re.compile(
    r"(?:^|/)(Average|Expert1|Expert2)_masks/([^/]+?)(?:-\d)?-(Cup|Disc)-(?:Avg|exp\d)\.(?i:png)$"
)
_EYE = re.compile(r"[NGS]-\d+-([LR])(?:_|$)")

_PARTITIONED = re.compile(
    r"(?:^|/)(partitioned_randomly|partitioned_by_hospital)/(?:.+/)?(train|test)[^/]*/(?:.+/)?"
    r"([^/]+)\.(?i:png)$"
)
_DL_MASK = re.compile(r"_reference_segmentations/(?:.+/)?([^/]+?)(?:-\d)?-(Cup|Disc)-T\.(?i:png)$")


def find_r3(files: Sequence[RawFile], choices: Choices) -> Found:
    """Stereo pairs with the masks of one expert or the average; the data set has no split."""
    photographs, masks = [], []
    for file in files:
        if match := _STEREO.search(file.name):
            photographs.append((match[1], file))
        elif (match := _R3_MASK.search(file.name)) and match[1] == FOLDERS[choices.truth]:
            masks.append((match[2], match[3].lower(), file))
    return _cases(photographs, masks, splits={}, stereo=True)


def find_dl(files: Sequence[RawFile], choices: Choices) -> Found:
    """ROIs; the data set's random partition, or where that is absent the one by hospital."""
    pictures: dict[str, list[tuple[str, str, RawFile]]] = {}
    masks = []
    for file in files:
        if match := _PARTITIONED.search(file.name):
            pictures.setdefault(match[1], []).append((match[3], match[2], file))
        elif match := _DL_MASK.search(file.name):
            masks.append((match[1], match[2].lower(), file))
    chosen = pictures.get("partitioned_randomly") or pictures.get("partitioned_by_hospital", [])
    splits: dict[str, set[str]] = {}
    for name, split, _ in chosen:
        splits.setdefault(name, set()).add(split)
    found = _cases(
        [(name, file) for name, _, file in chosen],
        masks,
        splits={name: split for name, (split, *_) in splits.items()},
        stereo=False,
    )
    twice = [name for name, several in splits.items() if len(several) > 1]
    found.problems.extend(
        RawProblem(CENTRE, file.name, "in both the train and the test folder", name)
        for name, _, file in chosen
        if name in twice
    )
    return Found([case for case in found.cases if case.name not in twice], found.problems)


def _cases(
    photographs: Iterable[tuple[str, RawFile]],
    masks: Iterable[tuple[str, str, RawFile]],
    *,
    splits: dict[str, str],
    stereo: bool,
) -> Found:
    pairs, problems = pair(photographs, masks, parts=CUP_AND_DISC, centre=CENTRE)
    cases = []
    for one in pairs:
        eye = _EYE.search(one.key)
        cases.append(
            RawCase(
                CENTRE,
                one.key,
                one.photograph,
                partial(read_binaries, one.masks),
                eye=eye[1] if eye else "",
                split=splits.get(one.key, ""),
                stereo=stereo,
            )
        )
    return Found(cases, problems)
