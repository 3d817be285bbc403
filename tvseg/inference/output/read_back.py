"""A folder of predictions, read back: its tables, and each photograph's outlines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tvseg.csv_files import read_csv
from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.data.images import MAX_SIDE_PX, read_labels
from tvseg.errors import UserError
from tvseg.files import read_json
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.formats import COCO, files_of
from tvseg.inference.output.tables import FAILURE_COLUMNS
from tvseg.inference.placed_masks import PlacedMasks, sparse_outline

TABLE_COLUMNS = ("id", "path", "width_px", "height_px", "roi_kind", "roi_confidence", "flags")
SOURCES = ("geojson", "labelme", COCO, "mask")
"""Formats that outlines are read from, the quickest to read first."""

Found = TypeVar("Found")
Polygons = list[np.ndarray]
"""Outlines of a structure, each of (x, y) points in px from the first pixel's outer corner."""


@dataclass(frozen=True)
class WrittenFolder:
    """What ``tvseg predict`` left.

    Attributes:
        path: The folder.
        about: What decided the output, of ``run.json``.
        rows: Of ``measurements.csv``, as text.
        failures: Of ``failures.csv``.
        outlines: Id of a photograph -> outlines of each structure that was found in it. Raises
            ValueError or OSError when they are missing or damaged.
    """

    path: Path
    about: Mapping[str, Any]
    rows: Sequence[Mapping[str, str]]
    failures: Sequence[Mapping[str, str]]
    outlines: Callable[[str], dict[str, Polygons]]

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of what was looked for."""
        return tuple(self.about["structures"])


def read_written(path: Path) -> WrittenFolder:
    """Read a folder of predictions.

    Raises:
        UserError: The folder is none, is damaged, or holds no format that outlines are read from.
    """
    about = OutputFolder(path, formats=(), structures=()).info().get("about", {})
    rows = _read_table(path / "measurements.csv", TABLE_COLUMNS)
    failures = _read_table(path / "failures.csv", FAILURE_COLUMNS)
    if not about or not (rows or failures):
        raise UserError(
            f"{path} must be a folder that tvseg predict has written (run.json and "
            "measurements.csv or failures.csv); give its --out"
        )
    _check_about(about, path / "run.json")
    written = [name for name in SOURCES if name in about["formats"]]
    if not written:
        raise UserError(
            f"{path} must hold outlines ({', '.join(SOURCES)}) to show, it has only "
            f"{', '.join(about['formats'])}; predict again with --formats mask"
        )
    return WrittenFolder(path, about, rows, failures, _outlines_of(path, written[0], about))


def _check_about(about: Mapping[str, Any], source: Path) -> None:
    """Raise UserError unless what decided the output is all there."""
    encoding, models = about.get("encoding"), about.get("models")
    if (
        not all(_is_names(about.get(key)) for key in ("formats", "structures"))
        or not isinstance(encoding, dict)
        or not all(key.isdecimal() and _is_names(names) for key, names in encoding.items())
        or not (models is None or _is_models(models))
    ):
        raise UserError(
            f"{source} is damaged (formats, structures, encoding or models); predict into a new "
            "folder"
        )


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_models(value: Any) -> bool:
    keys = {"name", "epoch", "holdout"}
    return isinstance(value, list) and all(
        isinstance(one, dict) and keys <= one.keys() for one in value
    )


def _read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        table = read_csv(path, trim=False)
    except UserError as error:
        raise UserError(f"{error}; predict into a new folder") from error
    rows = [row for _, row in table.rows]
    if any(set(columns) - row.keys() or len(row) != len(table.columns) for row in rows):
        raise UserError(
            f"{path} must have the columns {', '.join(columns)} in all rows; predict into a new "
            "folder"
        )
    return rows


def _outlines_of(
    path: Path, source: str, about: Mapping[str, Any]
) -> Callable[[str], dict[str, Polygons]]:
    if source == COCO:
        together = _parse(path / "coco.json", _coco)
        return lambda name: together.get(name, {})

    def outlines(name: str) -> dict[str, Polygons]:
        file = path / files_of(name, source)[0]
        if source == "mask":
            values = {int(value): names for value, names in about["encoding"].items()}
            return _trace(read_labels(file), MaskEncoding(values, about["structures"]))
        return _parse(file, _READERS[source])

    return outlines


def _parse(path: Path, reader: Callable[[Any], Found]) -> Found:
    try:
        return reader(read_json(path))
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error})") from error


def _polygon(points: Any) -> np.ndarray:
    polygon = np.array(points, float).reshape(-1, 2)
    if not np.isfinite(polygon).all() or len(polygon) < 2:
        raise ValueError("a polygon must have finite points")
    return polygon


def _geojson(tree: Any) -> dict[str, Polygons]:
    return {
        feature["properties"]["name"]: [
            _polygon(ring) for rings in feature["geometry"]["coordinates"] for ring in rings
        ]
        for feature in tree["features"]
    }


def _labelme(tree: Any) -> dict[str, Polygons]:
    found: dict[str, Polygons] = {}
    for shape in tree["shapes"]:
        found.setdefault(shape["label"], []).append(_polygon(shape["points"]))
    return found


_READERS: dict[str, Callable[[Any], dict[str, Polygons]]] = {
    "geojson": _geojson,
    "labelme": _labelme,
}


def _coco(tree: Any) -> dict[str, dict[str, Polygons]]:
    """Return outlines by id of the photograph and name of the structure."""
    names = {category["id"]: category["name"] for category in tree["categories"]}
    of_image: dict[int, dict[str, Polygons]] = {image["id"]: {} for image in tree["images"]}
    for annotation in tree["annotations"]:
        segmentation = annotation["segmentation"]
        of_image[annotation["image_id"]][names[annotation["category_id"]]] = (
            sparse_outline(_run_lengths(**segmentation))
            if isinstance(segmentation, dict)
            else [_polygon(polygon) for polygon in segmentation]
        )
    return {image["tvseg_id"]: of_image[image["id"]] for image in tree["images"]}


def _run_lengths(size: Sequence[int], counts: Sequence[int]) -> np.ndarray:
    """Return the mask, bool (H, W), that run lengths of COCO mean."""
    height, width = size
    if sum(counts) != height * width or height * width > MAX_SIDE_PX**2 or min(counts) < 0:
        raise ValueError("run lengths must add up to the picture")
    runs = np.arange(len(counts)) % 2 == 1
    return np.repeat(runs, counts).reshape(height, width, order="F")


def _trace(labels: np.ndarray, encoding: MaskEncoding) -> dict[str, Polygons]:
    masks = encoding.decode(labels)
    box = Box.of(masks)
    placed = PlacedMasks(masks[:, *box.slices], box, *labels.shape)
    return {
        name: polygons
        for name, polygons in zip(encoding.structures, placed.sparse_outlines, strict=True)
        if polygons
    }
