"""The "Fundus" benchmark of DoFE: four centres, already cut to ROIs.

Layout::

    Fundus/Domain{1,2,3,4}/{train,test}/ROIs/{image,mask}/NAME.png

Masks hold 0 cup, 128 rim, 255 background, grey or with three equal channels.

Source: Wang et al., "DoFE: domain-oriented feature embedding for generalizable fundus image
segmentation on unseen datasets", IEEE TMI 39(12), 2020; the archive itself.
"""

import re
from collections.abc import Sequence
from functools import partial

from tvseg.data.prepare.kinds.refuge import ENCODING
from tvseg.data.prepare.raw_case import Choices, Found, RawCase, pair, read_encoded
from tvseg.data.prepare.raw_files import RawFile

LAYOUT = "Domain1/train/ROIs/image/*.png and Domain1/train/ROIs/mask/*.png, and others alike"

_FILE = re.compile(r"(?:^|/)(Domain\d+)/(train|test)/ROIs/(image|mask)/([^/]+)\.(?i:png)$")


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """All domains; the benchmark's split; names tell neither patient nor eye for all centres."""
    matches = [(match, file) for file in files if (match := _FILE.search(file.name))]
    found = Found([], [])
    for centre in sorted({match[1] for match, _ in matches}):
        own = [(f"{m[2]}/{m[4]}", m[3], file) for m, file in matches if m[1] == centre]
        pairs, problems = pair(
            [(key, file) for key, kind, file in own if kind == "image"],
            [(key, "labels", file) for key, kind, file in own if kind == "mask"],
            parts=["labels"],
            centre=centre,
        )
        found.problems.extend(problems)
        for one in pairs:
            split, name = one.key.split("/")
            read = partial(read_encoded, one.masks["labels"], ENCODING)
            found.cases.append(RawCase(centre, name, one.photograph, read, split=split))
    return found
