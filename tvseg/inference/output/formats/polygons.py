"""Contours as GeoJSON, LabelMe and COCO; x and y in px from the first pixel's outer corner.

Each polygon lies about pixel centres, so that all that fill polygons give the mask back. Holes are
not told: a structure is one component without holes, unless another's outline cut it.
"""

import json
from typing import Any

import numpy as np

from tvseg.data.geometry import Box
from tvseg.inference.prediction import Prediction

_DECIMALS = 2


def geojson(prediction: Prediction) -> bytes:
    """A feature collection with a MultiPolygon a structure, as QuPath and shapely read it."""
    features = [
        {
            "type": "Feature",
            "id": f"{prediction.photograph.id}/{name}",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[_points(polygon)] for polygon in polygons],
            },
            "properties": {
                "name": name,
                "objectType": "annotation",
                "area_px": prediction.measured_px[f"{name}_area_px"],
            },
        }
        for name, polygons in _by_structure(prediction)
        if polygons
    ]
    return _json({"type": "FeatureCollection", "features": features})


def labelme(prediction: Prediction) -> bytes:
    """LabelMe's own file, to open beside the photograph and correct by hand."""
    height, width = prediction.pixels.shape[:2]
    shapes: list[dict[str, Any]] = [
        {
            "label": name,
            "points": _points(polygon)[:-1],
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for name, polygons in _by_structure(prediction)
        for polygon in polygons
    ]
    return _json(
        {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": str(prediction.photograph.path.resolve()),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
    )


def coco_annotations(prediction: Prediction) -> list[dict[str, Any]]:
    """Annotations of one photograph, without the numbers that a whole file gives them."""
    placed = prediction.placed
    found = []
    for place, (mask, polygons) in enumerate(
        zip(placed.masks, placed.sparse_outlines, strict=True), start=1
    ):
        box = Box.of(mask).shifted(placed.box.row, placed.box.col)
        if box.is_empty:
            continue
        found.append(
            {
                "category_id": place,
                "segmentation": [
                    [number for point in _points(polygon)[:-1] for number in point]
                    for polygon in polygons
                ],
                "area": int(mask.sum()),
                "bbox": [box.col, box.row, box.width, box.height],
                "iscrowd": 0,
            }
        )
    return found


def _by_structure(prediction: Prediction) -> list[tuple[str, list[np.ndarray]]]:
    names = prediction.encoding.structures
    return list(zip(names, prediction.placed.sparse_outlines, strict=True))


def _points(polygon: np.ndarray) -> list[list[float]]:
    rounded: list[list[float]] = np.round(polygon, _DECIMALS).tolist()
    return rounded


def _json(tree: Any) -> bytes:
    return (json.dumps(tree, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
