"""Phantom centres on disk: photographs and masks in the folder layout of the benchmark.

Layout::

    Domain{1,2,3,4}/{train,test}/ROIs/{image,mask}/phantom-A-0007.png
    FullField/{image,mask}/A-phantom-0000.png
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tvseg.data.phantoms.draw import Phantom, draw_field, draw_roi
from tvseg.data.phantoms.random.draw import draw_random_field, draw_random_roi
from tvseg.data.phantoms.style import STYLES
from tvseg.errors import UserError
from tvseg.files import temporary_folder

FIELD_WIDTH = 2
"""Width of a full-field photograph over the side of a region."""

Draw = Callable[..., Phantom]  # of a generator and side_px

_CUP, _RIM, _BACKGROUND = 0, 128, 255


def _write_pair(phantom: Phantom, folder: Path, name: str) -> None:
    """Write the photograph below `folder`/image and its encoded mask below `folder`/mask."""
    mask = np.full(phantom.disc.shape, _BACKGROUND, np.uint8)
    mask[phantom.disc] = _RIM
    mask[phantom.cup] = _CUP
    for kind, pixels in (("image", phantom.image), ("mask", mask)):
        path = folder / kind / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, compress_level=1)  # noise does not compress anyway


def _write_centre(
    folder: Path, letter: str, *, per_centre: int, seed: int, side_px: int, fields: int, style: str
) -> None:
    """Write one centre; every picture has a generator of its own."""
    centre = list(STYLES).index(letter)
    draw_region: Draw = partial(draw_roi, STYLES[letter])
    draw_full: Draw = partial(draw_field, STYLES[letter])
    if style == "random":
        draw_region, draw_full = draw_random_roi, draw_random_field
    for index in range(per_centre):
        phantom = draw_region(np.random.default_rng([seed, centre, index]), side_px=side_px)
        split = "test" if index % 3 == 1 else "train"  # the same whatever per_centre is
        rois = folder / f"Domain{centre + 1}" / split / "ROIs"
        _write_pair(phantom, rois, f"phantom-{letter}-{index:04d}")
    for index in range(fields):
        rng = np.random.default_rng([seed, centre, index, 1])  # apart from the regions' generators
        phantom = draw_full(rng, side_px=FIELD_WIDTH * side_px)
        _write_pair(phantom, folder / "FullField", f"{letter}-phantom-{index:04d}")


def _check(root: Path, *, per_centre: int, seed: int, fields: int) -> None:
    """Refuse what cannot be written before anything is drawn."""
    if per_centre < 2:
        raise UserError(
            "per_centre must be at least 2, one image to train and one to test, "
            f"but {per_centre} arrived: ask for more."
        )
    if seed < 0 or fields < 0:
        raise UserError(
            f"seed and fields must not be negative, but {seed} and {fields} arrived: "
            "give 0 or more."
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(
            f"{root} must be a new or an empty folder, but it is not: "
            "choose another one, or delete it first."
        )


def write_phantoms(
    root: Path,
    *,
    per_centre: int,
    seed: int,
    side_px: int = 512,
    fields: int = 2,
    style: str = "centres",
) -> None:
    """Write phantom photographs and masks of all centres in :data:`~phantom_style.STYLES`.

    A third of the regions is for testing. Masks hold 0 in the cup, 128 in the rim and 255
    elsewhere. A file depends on the seed, its centre and its index alone, never on how many are
    written. Everything is written beside `root` first and renamed at the end, so that `root` is
    complete or absent.

    Args:
        root: folder to make; an empty one is replaced.
        per_centre: regions about the disc per centre.
        seed: chooses the photographs.
        side_px: height and width of the regions; full-field photographs are
            :data:`FIELD_WIDTH` times as wide.
        fields: full-field photographs per centre.
        style: ``centres`` for the fixed style of each, ``random`` for one a picture.

    Raises:
        FileExistsError: if `root` is a file or a folder that is not empty.
        ValueError: if `per_centre`, `seed`, `side_px` or `fields` is too small.
    """
    root = root.resolve()
    _check(root, per_centre=per_centre, seed=seed, fields=fields)
    root.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(root.parent, root.name) as beside:
        folder = beside / root.name
        for letter in STYLES:
            _write_centre(
                folder,
                letter,
                per_centre=per_centre,
                seed=seed,
                side_px=side_px,
                fields=fields,
                style=style,
            )
        if root.exists():
            root.rmdir()  # empty, and not every system renames onto a folder
        folder.rename(root)
