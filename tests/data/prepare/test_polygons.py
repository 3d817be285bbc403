"""Structures drawn as polygons in LabelMe's and COCO's files."""

import json
from pathlib import Path

import numpy as np
import pytest

from tvseg.data.prepare.kinds.polygons import read_polygons
from tvseg.data.prepare.raw_files import RawFile
from tvseg.errors import UserError


def test_a_polygon_encloses_the_pixels_whose_centres_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        '{"imageHeight": 9, "imageWidth": 12, "shapes": ['
        '{"label": "disc", "points": [[2, 3], [6, 3], [6, 8], [2, 8]]},'
        '{"label": "disc", "points": [[9, 0], [12, 0], [12, 1], [9, 1]]},'
        '{"label": "fovea", "points": [[0, 0], [1, 0], [1, 1]]}]}'
    )
    mask = read_polygons(RawFile("a.json", path), "a.png", ("disc",))["disc"]
    expected = np.zeros((9, 12), bool)
    expected[3:8, 2:6] = True
    expected[0, 9:12] = True
    assert (mask == expected).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "cannot be read as JSON"),
        ("[1]", "must be LabelMe's or COCO's JSON"),
        ('{"a": 1}', "must be LabelMe's or COCO's JSON, it has no shapes and no images"),
        ("[" * 5000, "cannot be read as JSON: nested too deeply"),
        ('{"imageHeight": 1e400, "imageWidth": 9, "shapes": []}', "imageHeight: .*finite"),
        ('{"imageHeight": 1000000000, "imageWidth": 9, "shapes": []}', "imageHeight: .* 12000"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": "disc"}', "shapes: .* valid list"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [5]}', "shapes.0: .* got 5"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [null]}', "shapes.0: .* got None"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [{"label": null, "points": []}]}',
         "shapes.0.label: .* valid string, got None"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [{"label": 5, "points": []}]}',
         "shapes.0.label: .* valid string, got 5"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [{"label": "disc", "points": '
         '[[1, 1], [1e999, 1], [3, 3]]}]}', "each of two numbers"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": 7}]}',
         "categories.0.name: .* valid string, got 7"),
        ('{"images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 4}], "categories": '
         '[], "annotations": [{"image_id": 1, "category_id": 2, "segmentation": [[1]]}]}',
         "categories must hold 2"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [{"label": "disc", "points": [[1, 2]]}]}',
         "three corners or more"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [{"label": "disc", "shape_type": "circle",'
         ' "points": [[1, 2], [3, 4]]}]}', "disc is a circle"),
        ('{"imageHeight": 9, "imageWidth": 9, "shapes": [{"label": "Disk", "points": '
         '[[1, 2], [5, 2], [5, 6]]}]}', "no polygon of disc; labels here: Disk"),
        ('{"images": [], "annotations": [], "categories": []}', "images must hold a.png once"),
        ('{"images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 4}], "categories": '
         '[{"id": 2, "name": "disc"}], "annotations": [{"image_id": 1, "category_id": 2, '
         '"segmentation": {"counts": "x"}}]}', "run-length encoded"),
    ],
)  # fmt: skip
def test_polygons_that_cannot_be_read_say_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"a.json: .*{message}"):
        read_polygons(RawFile("a.json", path), "a.png", ("disc",))


def test_photographs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    square = [[1, 1, 5, 1, 5, 5, 1, 5]]
    listed = [("OD/1.png", 10), ("OS\\1.png", 20), ("2.png", 30)]
    tree = {
        "images": [
            {"id": index, "file_name": name, "height": height, "width": 9}
            for index, (name, height) in enumerate(listed)
        ],
        "annotations": [
            {"image_id": index, "category_id": 1, "segmentation": square} for index in range(3)
        ],
        "categories": [{"id": 1, "name": "disc"}],
    }
    path.write_text(json.dumps(tree))
    for photograph, height in (("photos/OD/1.png", 10), ("photos\\OS\\1.png", 20), ("x/2.png", 30)):
        masks = read_polygons(RawFile("a.json", path), photograph, ("disc",))
        assert masks["disc"].shape == (height, 9)
    with pytest.raises(UserError, match=r"images must hold 1.png once, it is there 2 times"):
        read_polygons(RawFile("a.json", path), "1.png", ("disc",))


def test_shapes_of_other_labels_are_ignored_whatever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    disc = {"label": " Disc", "points": [[1, 1], [5, 1], [5, 5]]}
    other = [
        {"label": "fovea", "points": [[3, 3]], "shape_type": "point"},
        {"label": "box", "points": None, "shape_type": "rectangle"},
    ]
    path.write_text(
        json.dumps({"imageHeight": 9, "imageWidth": 9, "shapes": [disc, *other]}),
        encoding="utf-8-sig",
    )
    assert read_polygons(RawFile("a.json", path), "a.png", ("disc",))["disc"].any()


def test_a_polygon_of_too_many_corners_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    corners = [[x, y] for x, y in zip([0, 9000] * 1000, [0, 9000, 9000, 0] * 500, strict=True)]
    shape = {"label": "disc", "points": corners}
    path.write_text(json.dumps({"imageHeight": 9000, "imageWidth": 9000, "shapes": [shape]}))
    with pytest.raises(UserError, match="a polygon of 2000 corners is too large, disc"):
        read_polygons(RawFile("a.json", path), "a.png", ("disc",))
