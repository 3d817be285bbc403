"""Structures drawn as polygons, in LabelMe's and in COCO's JSON."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, FiniteFloat, StrictStr, TypeAdapter, ValidationError
from skimage.draw import polygon

from tvseg.data.images import MAX_SIDE_PX
from tvseg.data.prepare.raw_case import Masks
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError
from tvseg.files import read_json

MAX_WORK = 10**10
"""Most corners of a polygon times pixels of the box about it; a disc takes about 10^7."""

_Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
_Points = TypeAdapter(Annotated[list[tuple[FiniteFloat, FiniteFloat]], Field(min_length=3)])
_Flat = TypeAdapter(Annotated[list[FiniteFloat], Field(min_length=6)])


class Drawing(BaseModel):
    """A label, and what was drawn: corners of a polygon, or something else."""

    label: StrictStr
    points: Any = None
    shape_type: str | None = "polygon"

    def corners(self) -> np.ndarray:
        """Corners, (N, 2), x and y in px from the picture's upper left edge.

        Raises:
            UserError: Another shape than a polygon.
        """
        if (self.shape_type or "polygon") != "polygon":
            raise UserError(f"shapes must be polygons, {self.label} is a {self.shape_type}")
        try:
            return np.array(_Points.validate_python(self.points))
        except ValidationError as error:
            raise UserError(
                f"a polygon must have three corners or more, each of two numbers; got "
                f"{self.points!r:.60} for {self.label}"
            ) from error


class LabelMeFile(BaseModel):
    """The drawings on one photograph."""

    shapes: list[Drawing]
    imageHeight: _Side  # noqa: N815 - the format's name
    imageWidth: _Side  # noqa: N815

    def on(self, photograph: str) -> tuple[int, int, Iterator[Drawing]]:
        """Height, width and drawings, whatever the photograph is called."""
        return self.imageHeight, self.imageWidth, iter(self.shapes)


class _CocoImage(BaseModel):
    id: int | str
    file_name: StrictStr
    height: _Side
    width: _Side

    @cached_property
    def parts(self) -> tuple[str, ...]:
        return _parts_of(self.file_name)


class _CocoCategory(BaseModel):
    id: int | str
    name: StrictStr


class _CocoAnnotation(BaseModel):
    image_id: int | str
    category_id: int | str
    segmentation: Any = None


class CocoFile(BaseModel):
    """The drawings on many photographs."""

    images: list[_CocoImage]
    categories: list[_CocoCategory]
    annotations: list[_CocoAnnotation]

    @cached_property
    def _images_by_name(self) -> dict[str, list[_CocoImage]]:
        named: dict[str, list[_CocoImage]] = defaultdict(list)
        for image in self.images:
            named[image.parts[-1]].append(image)
        return named

    @cached_property
    def _annotations_by_image(self) -> dict[int | str, list[_CocoAnnotation]]:
        marked: dict[int | str, list[_CocoAnnotation]] = defaultdict(list)
        for annotation in self.annotations:
            marked[annotation.image_id].append(annotation)
        return marked

    def on(self, photograph: str) -> tuple[int, int, Iterator[Drawing]]:
        """Height, width and drawings of the photograph whose path ends most alike.

        Raises:
            UserError: The photograph is not listed, or two entries are equally alike.
        """
        parts = _parts_of(photograph)
        listed = self._images_by_name.get(parts[-1], [])
        best = max((_alike(parts, image.parts) for image in listed), default=0)
        meant = [image for image in listed if _alike(parts, image.parts) == best]
        if len(meant) != 1:
            raise UserError(
                f"images must hold {photograph} once, it is there {len(meant)} times"
                + ("; their file_name needs the folder" if meant else "")
            )
        return meant[0].height, meant[0].width, self._drawings(meant[0])

    def _drawings(self, image: _CocoImage) -> Iterator[Drawing]:
        labels = {category.id: category.name for category in self.categories}
        for annotation in self._annotations_by_image.get(image.id, ()):
            if annotation.category_id not in labels:
                raise UserError(f"categories must hold {annotation.category_id}, it is used")
            label = labels[annotation.category_id]
            if not isinstance(annotation.segmentation, list):
                yield Drawing(label=label, shape_type="run-length encoded mask or a box")
                continue
            for flat in annotation.segmentation:
                try:
                    points = np.reshape(_Flat.validate_python(flat), (-1, 2)).tolist()
                except ValueError:
                    points = flat
                yield Drawing(label=label, points=points)


def read_polygons(file: RawFile, photograph: str, structures: Sequence[str]) -> Masks:
    """Return the masks that polygons enclose; several of one structure are united.

    Args:
        file: A LabelMe file of one photograph, or a COCO file of many.
        photograph: The photograph's file, by which COCO files are searched; of photographs of one
            name the one whose folders agree.
        structures: Labels to read, in any case; shapes of other labels are ignored.

    Returns:
        Structure -> bool (H, W): pixels whose centres lie inside.

    Raises:
        UserError: Neither format, another shape than a polygon, or a structure without any.

    Source: https://cocodataset.org/#format-data; https://github.com/wkentaro/labelme.
    """
    drawn = _load(file.path)
    labels = set()
    try:
        height, width, drawings = drawn.on(photograph)
        masks = {name: np.zeros((height, width), bool) for name in structures}
        for drawing in drawings:
            labels.add(drawing.label)
            wanted = drawing.label.strip().lower()
            if name := next((name for name in structures if name.lower() == wanted), None):
                _fill(masks[name], drawing.corners(), drawing.label)
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from error
    if lacking := [name for name, mask in masks.items() if not mask.any()]:
        listed = ", ".join(sorted(labels)) or "none"
        raise UserError(f"{file.path}: no polygon of {', '.join(lacking)}; labels here: {listed}")
    return masks


@lru_cache(maxsize=2)  # a COCO file serves many rows, LabelMe's carry whole photographs
def _load(path: Path) -> LabelMeFile | CocoFile:
    tree = read_json(path)
    if not isinstance(tree, dict) or not tree.keys() & {"shapes", "images"}:
        raise UserError(f"{path}: must be LabelMe's or COCO's JSON, it has no shapes and no images")
    try:
        model = LabelMeFile if "shapes" in tree else CocoFile
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {key}: {first['msg']}, got {first['input']!r:.60}") from error


def _fill(mask: np.ndarray, corners: np.ndarray, label: str) -> None:
    height, width = mask.shape
    box = np.ptp(np.clip(corners, 0, (width, height)), axis=0).prod()
    if len(corners) * box > MAX_WORK:
        raise UserError(
            f"a polygon of {len(corners)} corners is too large, {label}; it may have "
            f"{MAX_WORK / box:.0f} of its size"
        )
    # a pixel's centre lies half a pixel from its edge, and skimage counts from centres
    rows, cols = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, mask.shape)
    mask[rows, cols] = True


def _parts_of(path: str) -> tuple[str, ...]:
    """Folders and name of a path, whichever way its slashes lean, in one Unicode form."""
    parts = PurePosixPath(unicodedata.normalize("NFC", path).replace("\\", "/")).parts
    return parts or ("",)


def _alike(parts: tuple[str, ...], others: tuple[str, ...]) -> int:
    """Number of equal parts at the ends of two paths."""
    pairs = zip(reversed(parts), reversed(others), strict=False)
    return next(
        (count for count, (one, other) in enumerate(pairs) if one != other),
        min(len(parts), len(others)),
    )
