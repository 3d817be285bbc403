"""REFUGE as it is downloaded: three parts, each a centre of its own here.

Layout, an archive a line::

    REFUGE-Training400.zip        Training400/{Glaucoma,Non-Glaucoma}/{g,n}0001.jpg
    Annotation-Training400.zip    Annotation-Training400/Disc_Cup_Masks/.../{g,n}0001.bmp
    REFUGE-Validation400.zip      REFUGE-Validation400/V0001.jpg
    REFUGE-Validation400-GT.zip   REFUGE-Validation400-GT/Disc_Cup_Masks/V0001.bmp
    REFUGE-Test400.zip            Test400/T0001.jpg
    REFUGE-Test-GT.zip            REFUGE-Test-GT/Disc_Cup_Masks/{G,N}/T0001.bmp

Masks hold 0 cup, 128 rim, 255 background. The first letter of a name says which part it is of, so
that all six archives may be given at once. The training part comes from another camera (Zeiss
Visucam) than the two others (Canon CR-2); names tell neither patient nor eye.

Source: https://refuge.grand-challenge.org/Details; Orlando et al., "REFUGE Challenge", Medical
Image Analysis 59, 2020.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

from tvseg.data.centres import CUP_AND_DISC, MaskEncoding
from tvseg.data.prepare.raw_case import Choices, Found, RawCase, pair, read_encoded
from tvseg.data.prepare.raw_files import RawFile

ENCODING = MaskEncoding({0: CUP_AND_DISC, 128: ("disc",), 255: ()}, CUP_AND_DISC)
LAYOUT = "**/{0}0001.jpg and **/Disc_Cup_Masks/**/{0}0001.bmp"


def finder(letters: str, centre: str) -> Callable[[Sequence[RawFile], Choices], Found]:
    """The adapter of one part: names that begin with one of the letters, and their centre."""
    return partial(_find, re.compile(rf"(?:^|/)([{letters}]\d+)\.(?i:(jpe?g)|bmp|png)$"), centre)


def _find(names: re.Pattern[str], centre: str, files: Sequence[RawFile], choices: Choices) -> Found:
    photographs, masks = [], []
    for file in files:
        if match := names.search(file.name):
            if match[2]:
                photographs.append((match[1], file))
            elif "Disc_Cup_Masks/" in file.name:
                masks.append((match[1], "labels", file))
    pairs, problems = pair(photographs, masks, parts=["labels"], centre=centre)
    cases = [
        RawCase(
            centre, one.key, one.photograph, partial(read_encoded, one.masks["labels"], ENCODING)
        )
        for one in pairs
    ]
    return Found(cases, problems)
