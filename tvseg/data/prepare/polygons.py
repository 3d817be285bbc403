"""Structures drawn as polygons, in LabelMe's and in COCO's JSON."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from skimage.draw import polygon

from tvseg.data.prepare.raw_case import Masks
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError

Drawn = tuple[str, np.ndarray]
"""A label and the corners of its polygon, (N, 2), x and y from the picture's upper left edge."""


def read_polygons(file: RawFile, photograph: str, structures: Sequence[str]) -> Masks:
    """The masks that polygons enclose; several of one structure are united.

    Args:
        file: A LabelMe file of one photograph, or a COCO file of many.
        photograph: The photograph's file name, by which COCO files are searched.
        structures: Labels to look for, in any case; others are left alone.

    Returns:
        Structure -> bool (H, W): pixels whose centres lie inside.

    Raises:
        ValueError: Neither format, another shape than a polygon, or a structure without any.

    Source: https://cocodataset.org/#format-data; https://github.com/wkentaro/labelme.
    """
    tree = _load(file.path)
    try:
        if "shapes" in tree:
            height, width = int(tree["imageHeight"]), int(tree["imageWidth"])
            drawn = list(_labelme(tree))
        else:
            image = _coco_image(tree, photograph)
            height, width = int(image["height"]), int(image["width"])
            drawn = list(_coco(tree, image))
    except (KeyError, TypeError) as error:
        raise UserError(f"{file.path}: neither LabelMe's nor COCO's format: {error!r}") from error
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error
    masks = {name: np.zeros((height, width), bool) for name in structures}
    for label, corners in drawn:
        name = next((name for name in structures if name.lower() == label.strip().lower()), None)
        if name is not None:
            # a pixel's centre lies half a pixel from its edge, and skimage counts from centres
            rows, cols = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, (height, width))
            masks[name][rows, cols] = True
    if lacking := [name for name, mask in masks.items() if not mask.any()]:
        labels = ", ".join(sorted({label for label, _ in drawn})) or "none"
        raise UserError(f"{file.path}: no polygon of {', '.join(lacking)}; labels here: {labels}")
    return masks


@lru_cache(maxsize=2)  # a COCO file serves many rows, LabelMe's carry whole photographs
def _load(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: must hold a JSON object, got a {type(tree).__name__}")
    return tree


def _labelme(tree: dict[str, Any]) -> Iterator[Drawn]:
    for shape in tree["shapes"]:
        kind = shape.get("shape_type", "polygon")
        if kind != "polygon":
            raise UserError(f"shapes must be polygons, {shape['label']} is a {kind}")
        yield shape["label"], _corners(shape["points"])


def _coco_image(tree: dict[str, Any], photograph: str) -> dict[str, Any]:
    wanted = PurePosixPath(photograph).name
    images = [one for one in tree["images"] if PurePosixPath(one["file_name"]).name == wanted]
    if len(images) != 1:
        raise UserError(f"images must hold {wanted} once, it is there {len(images)} times")
    found: dict[str, Any] = images[0]
    return found


def _coco(tree: dict[str, Any], image: dict[str, Any]) -> Iterator[Drawn]:
    labels = {one["id"]: one["name"] for one in tree["categories"]}
    for one in tree["annotations"]:
        if one["image_id"] == image["id"]:
            if not isinstance(one["segmentation"], list):
                raise UserError("segmentations must be polygons, one is run-length encoded")
            for flat in one["segmentation"]:
                yield labels[one["category_id"]], _corners(np.reshape(flat, (-1, 2)))


def _corners(points: Any) -> np.ndarray:
    corners = np.asarray(points, dtype=float)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise UserError(f"a polygon must have three corners or more, got {corners.tolist()!r:.60}")
    return corners
