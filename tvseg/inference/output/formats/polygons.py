"""Contours as GeoJSON, LabelMe and COCO; x and y in px from the first pixel's outer corner.

Each polygon lies about pixel centres, so that programs that fill polygons give the mask back. The
holes that scattered structures keep are inner rings in GeoJSON, bridged to the outer ring in
LabelMe, and make COCO's segmentation a run-length encoding, since COCO's polygons have none.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvseg.data.geometry import Box
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.prediction import Prediction

_DECIMALS = 2


def geojson(prediction: Prediction) -> bytes:
    """Return a feature collection: a MultiPolygon per structure, as QuPath and shapely read it."""
    features = [
        {
            "type": "Feature",
            "id": f"{prediction.photograph.id}/{name}",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[_points(ring) for ring in rings] for rings in nest(polygons)],
            },
            "properties": {
                "name": name,
                "objectType": "annotation",
                "area_px": prediction.measured_px[f"{name}_area_px"],
            },
        }
        for name, polygons in prediction.contours.items()
        if polygons
    ]
    return _json({"type": "FeatureCollection", "features": features})


def labelme(prediction: Prediction) -> bytes:
    """Return LabelMe's file, to open beside the photograph and correct by hand."""
    path = prediction.photograph.path
    height, width = prediction.pixels.shape[:2]
    shapes: list[dict[str, Any]] = [
        {
            "label": name,
            "points": _points(bridge(rings))[:-1],
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for name, polygons in prediction.contours.items()
        for rings in nest(polygons)
    ]
    return _json(
        {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": str(path.resolve() if isinstance(path, Path) else path),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
    )


def coco_annotations(prediction: Prediction) -> list[dict[str, Any]]:
    """Return the annotations of one photograph, without the numbers that a whole file gives."""
    placed = prediction.placed
    annotations = []
    for number, (mask, polygons) in enumerate(
        zip(placed.masks, placed.sparse_outlines, strict=True), start=1
    ):
        box = Box.of(mask).shifted(placed.box.row, placed.box.col)
        if box.is_empty:
            continue
        annotations.append(
            {
                "category_id": number,
                "segmentation": _segmentation(mask, polygons, placed),
                "area": int(mask.sum()),
                "bbox": [box.col, box.row, box.width, box.height],
                "iscrowd": 0,
            }
        )
    return annotations


def _segmentation(mask: np.ndarray, polygons: Sequence[np.ndarray], placed: PlacedMasks) -> Any:
    """Return COCO's polygons, or where there are holes its run lengths, column by column."""
    if all(len(rings) == 1 for rings in nest(polygons)):
        return [
            [number for point in _points(polygon)[:-1] for number in point] for polygon in polygons
        ]
    whole = np.zeros((placed.height, placed.width), np.int8)
    whole[placed.box.slices] = mask
    ends = np.flatnonzero(np.diff(whole.ravel(order="F"), prepend=0))
    counts = np.diff(ends, prepend=0, append=whole.size)
    return {"size": list(whole.shape), "counts": counts.tolist()}


def _points(polygon: np.ndarray) -> list[list[float]]:
    rounded: list[list[float]] = np.round(polygon, _DECIMALS).tolist()
    return rounded


def _json(tree: Any) -> bytes:
    return (json.dumps(tree, ensure_ascii=False, separators=(",", ":")) + "\n").encode(
        errors="backslashreplace"
    )


def nest(polygons: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Group the outlines of one mask: each outer one, followed by those of the holes in it.

    Args:
        polygons: Of :func:`sparse_outline`.
    """
    from skimage.measure import points_in_poly

    areas = [_signed_area(polygon) for polygon in polygons]
    outer = sorted((area, index) for index, area in enumerate(areas) if area > 0)
    holes: dict[int, list[np.ndarray]] = {index: [] for _, index in outer}
    for hole, area in zip(polygons, areas, strict=True):
        around = (
            index
            for size, index in outer
            if area < 0 and size > -area and points_in_poly(hole[:1], polygons[index])[0]
        )
        if (smallest := next(around, None)) is not None:
            holes[smallest].append(hole)
    return [[polygons[index], *holes[index]] for index in sorted(holes)]


def bridge(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Join an outer ring and its holes into one polygon that fills the same pixels.

    Each hole is reached by a line that is walked there and back, and so encloses nothing.

    Args:
        rings: Closed rings of points, the outer one first, holes of opposite orientation.
    """
    joined = rings[0]
    for hole in rings[1:]:
        apart = np.linalg.norm(joined[:, None] - hole[None, :-1], axis=-1)
        here, there = np.unravel_index(int(apart.argmin()), apart.shape)
        turned = np.concatenate([hole[there:-1], hole[: there + 1]])
        joined = np.concatenate([joined[: here + 1], turned, joined[here:]])
    return joined


def _signed_area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)
