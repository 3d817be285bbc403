"""Scattered structures: many pieces, holes, pieces in holes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from pycocotools import mask as coco_mask
from shapely.geometry import shape
from skimage.draw import polygon2mask

from tests.inference.drawn import draw_prediction
from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.errors import UserError
from tvseg.files import write_bytes, write_json
from tvseg.inference.output.formats import FORMATS
from tvseg.inference.output.formats.polygons import coco_annotations, nest
from tvseg.inference.output.read_back import read_written
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.prediction import Prediction

ENCODING = MaskEncoding({0: (), 1: ("lesion",)}, ("lesion",), scattered=("lesion",))
SIDE = 120


@pytest.fixture
def rings() -> Prediction:
    """Two rings, one with two holes of which one holds an island."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    mask = np.hypot(rows - 40, cols - 45) < 32
    mask &= ~(np.hypot(rows - 40, cols - 35) < 15)
    mask |= np.hypot(rows - 40, cols - 35) < 6
    mask &= ~(np.hypot(rows - 45, cols - 62) < 7)
    mask |= abs(np.hypot(rows - 95, cols - 90) - 15) < 3
    box = Box.of(mask)
    drawn = draw_prediction(side=SIDE, radius=20)
    placed = PlacedMasks(mask[None, *box.slices], box, SIDE, SIDE)
    return replace(
        drawn, segmentation=replace(drawn.segmentation, placed=placed), encoding=ENCODING
    )


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_holes_belong_to_the_outline_about_them(rings: Prediction) -> None:
    groups = nest(rings.contours["lesion"])
    assert sorted(len(group) for group in groups) == [1, 2, 3]


def test_geojson_has_holes(rings: Prediction) -> None:
    mask = rings.masks["lesion"]
    (feature,) = json.loads(FORMATS["geojson"].render(rings))["features"]
    geometry = shape(feature["geometry"])
    assert geometry.is_valid
    assert geometry.area == pytest.approx(mask.sum(), rel=0.02)
    rows, cols = np.mgrid[:SIDE, :SIDE] + 0.5
    assert _dice(shapely.contains_xy(geometry, cols, rows), mask) >= 0.999


def test_coco_has_run_lengths_where_there_are_holes(rings: Prediction) -> None:
    mask = rings.masks["lesion"]
    (annotation,) = coco_annotations(rings)
    segmentation = coco_mask.frPyObjects(annotation["segmentation"], SIDE, SIDE)
    assert (coco_mask.decode(segmentation).astype(bool) == mask).all()
    assert annotation["area"] == mask.sum()


def test_labelme_bridges_holes(rings: Prediction) -> None:
    shapes = json.loads(FORMATS["labelme"].render(rings))["shapes"]
    assert len(shapes) == 3
    filled = np.zeros((SIDE, SIDE), bool)
    for one in shapes:
        filled |= polygon2mask((SIDE, SIDE), np.array(one["points"])[:, ::-1] - 0.5)
    assert _dice(filled, rings.masks["lesion"]) >= 0.999


@pytest.mark.parametrize("source", ["geojson", "labelme", "coco", "mask"])
def test_every_format_is_read_back_with_its_holes(
    rings: Prediction, tmp_path: Path, source: str
) -> None:
    about = {"formats": [source], "structures": ["lesion"], "models": [],
             "encoding": {"0": [], "1": ["lesion"]}}  # fmt: skip
    write_json(tmp_path / "run.json", {"about": about})
    write_bytes(
        tmp_path / "measurements.csv",
        b"id,path,width_px,height_px,roi_kind,roi_confidence,flags\none,one.png,9,9,roi,,\n",
    )
    if source == "coco":
        (annotation,) = coco_annotations(rings)
        tree = {"categories": [{"id": 1, "name": "lesion"}]}
        tree |= {"images": [{"id": 1, "tvseg_id": "one"}]}
        write_json(tmp_path / "coco.json", {**tree, "annotations": [{**annotation, "image_id": 1}]})
    else:
        rings.save(tmp_path, [source])
        (path,) = (tmp_path / FORMATS[source].folder).iterdir()
        assert path.name == "one" + FORMATS[source].suffix
    polygons = read_written(tmp_path).outlines("one")["lesion"]
    areas = [abs(shapely.Polygon(polygon).area) for polygon in polygons]
    alone = 3 if source == "labelme" else 6
    assert len(areas) == alone
    if source != "labelme":  # the outlines about holes enclose these too
        assert min(areas) == pytest.approx(np.pi * 6**2, rel=0.1)


DAMAGE = [
    ("run.json", "null"), ("run.json", "[]"), ("run.json", "{"), ("run.json", "[" * 100_000),
    ("run.json", '{"about": {}}'), ("run.json", '{"about": {"formats": null}}'),
    ("run.json", '{"about": {"formats": ["geojson"], "structures": 5, "encoding": {}}}'),
    ("run.json", '{"about": {"formats": ["mask"], "structures": [], "encoding": {"x": []}}}'),
    ("run.json", '{"about": {"formats": ["mask"], "structures": [], "encoding": {}, "models": 1}}'),
    ("run.json", '{"about": {"formats": ["mask"], "structures": [], "encoding": {}, '
                 '"models": [{"name": "x"}]}}'),
    ("run.json", '{"about": {"formats": ["png"], "structures": ["a"], "encoding": {}}}'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content"), DAMAGE)
def test_a_damaged_run_json_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "measurements.csv").write_text(
        "id,path,width_px,height_px,roi_kind,roi_confidence,flags\none,one.png,9,9,roi,,\n"
    )
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError):
        read_written(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "null", "5", '{"features": 5}', '{"features": [{}]}', '{"features": [null]}',
     *('{"features": [{"properties": {"name": "a"}, "geometry": ' + geometry + "}]}"
       for geometry in ("null", *('{"coordinates": [[[' + points + "]]]}"
                                  for points in ("1", "[1, null]", "[1, NaN], [2, 3]", '"a"'))))],
)  # fmt: skip
def test_damaged_outlines_are_refused(tmp_path: Path, content: str) -> None:
    about = {"formats": ["geojson"], "structures": ["a"], "encoding": {"0": []}, "models": []}
    write_json(tmp_path / "run.json", {"about": about})
    (tmp_path / "measurements.csv").write_text(
        "id,path,width_px,height_px,roi_kind,roi_confidence,flags\none,one.png,9,9,roi,,\n"
    )
    (tmp_path / "geojson").mkdir()
    (tmp_path / "geojson" / "one.geojson").write_text(content)
    with pytest.raises(UserError, match=r"one\.geojson"):
        read_written(tmp_path).outlines("one")
