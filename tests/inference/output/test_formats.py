import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import shapely
from PIL import Image
from pycocotools import mask as coco_mask
from shapely.geometry import shape

from tests.inference.drawn import draw_field, draw_prediction, make_pipeline
from tvseg.data.geometry import Box
from tvseg.inference.load import Model
from tvseg.inference.output.formats import FORMATS, check_formats, files_of
from tvseg.inference.output.formats.overlay import COLOURS, draw_overlay
from tvseg.inference.output.formats.polygons import coco_annotations
from tvseg.inference.pipeline import Segmentation
from tvseg.inference.placed_masks import PlacedMasks, outline, sparse_outline
from tvseg.inference.prediction import Prediction
from tvseg.localizer.locate import Location


def _render(name: str, prediction: Prediction) -> bytes:
    return FORMATS[name].render(prediction)


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def _filled(geometry: shapely.Geometry, side: int) -> np.ndarray:
    """The pixels whose centres a geometry holds."""
    rows, cols = np.mgrid[:side, :side]
    inside: np.ndarray = shapely.contains_xy(geometry, cols + 0.5, rows + 0.5)
    return inside


@pytest.mark.parametrize("radius", [8, 30, 60, 110])
def test_polygons_give_the_masks_back(radius: float) -> None:
    prediction = draw_prediction(radius=radius)
    masks = prediction.placed.whole()
    for mask, annotation in zip(masks, coco_annotations(prediction), strict=True):
        runs = coco_mask.merge(coco_mask.frPyObjects(annotation["segmentation"], 300, 300))
        assert _dice(coco_mask.decode(runs).astype(bool), mask) >= 0.999
        assert annotation["area"] == mask.sum()
        rows, cols = np.nonzero(mask)
        assert annotation["bbox"] == [cols.min(), rows.min(), np.ptp(cols) + 1, np.ptp(rows) + 1]
    tree = json.loads(_render("geojson", prediction))
    for mask, feature in zip(masks, tree["features"], strict=True):
        geometry = shape(feature["geometry"])
        assert geometry.is_valid
        assert _dice(_filled(geometry, 300), mask) >= 0.999
    named = json.loads(_render("labelme", prediction))["shapes"]
    assert [one["label"] for one in named] == ["cup", "disc"]
    for mask, one in zip(masks, named, strict=True):
        assert _dice(_filled(shapely.Polygon(one["points"]), 300), mask) >= 0.999


def test_labelme_finds_its_photograph() -> None:
    tree = json.loads(_render("labelme", draw_prediction()))
    assert tree["imagePath"] == str(Path("one.png").resolve())
    assert (tree["imageHeight"], tree["imageWidth"]) == (300, 300)


def test_nothing_found_is_no_polygon() -> None:
    found = draw_prediction()
    nothing = PlacedMasks(np.zeros((2, 0, 0), bool), Box(0, 0, 0, 0), 300, 300)
    location = Location(None, 0.1, "field")
    empty = replace(found, segmentation=Segmentation(location, nothing, None, None))
    assert json.loads(_render("geojson", empty))["features"] == []
    assert json.loads(_render("labelme", empty))["shapes"] == []
    assert coco_annotations(empty) == []
    assert set(np.unique(_picture("mask", empty))) == {255}
    assert not _picture("uncertainty", empty).any()
    assert (_picture("overlay", empty) == empty.pixels).all()


def _picture(name: str, prediction: Prediction) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(_render(name, prediction))))


def test_the_mask_is_the_label_image() -> None:
    prediction = draw_prediction()
    labels = _picture("mask", prediction)
    cup, disc = prediction.placed.whole()
    assert (labels == np.select([cup, disc], [0, 128], 255)).all()


@pytest.mark.parametrize(("um_per_px", "spacing"), [(None, 1.0), (4.0, 0.004)])
def test_nifti_has_labels_orientation_and_spacing(um_per_px: float | None, spacing: float) -> None:
    prediction = draw_prediction(um_per_px=um_per_px)
    content = gzip.decompress(_render("nifti", prediction))
    volume = nib.Nifti1Image.from_bytes(content)
    cup, disc = prediction.placed.whole()
    assert (np.select([cup, disc], [1, 2], 0) == np.asanyarray(volume.dataobj)[..., 0].T).all()
    assert nib.aff2axcodes(volume.affine) == ("L", "P", "S")
    assert np.allclose(volume.affine, np.diag([-spacing, -spacing, 1, 1]))
    assert volume.header.get_zooms() == pytest.approx((spacing, spacing, 1))
    assert volume.header.get_xyzt_units()[0] == ("unknown" if um_per_px is None else "mm")
    assert _render("nifti", prediction) == _render("nifti", prediction)


def test_uncertainty_is_bright_where_views_differ() -> None:
    prediction = draw_prediction()
    shown = _picture("uncertainty", prediction)
    window = prediction.window
    assert window is not None
    scale = window.side / 32
    rows, cols = np.nonzero(shown > 127)
    for axis, first in ((rows, window.row), (cols, window.col)):
        assert axis.min() == pytest.approx(first + 8 * scale, abs=1)
        assert axis.max() + 1 == pytest.approx(first + 16 * scale, abs=1)
    assert shown.max() == 255


def test_probabilities_are_a_picture_of_16_bits_a_structure(tmp_path: Path) -> None:
    prediction = Model(make_pipeline())(draw_field(120, 60, 50, 20))
    files = prediction.save(tmp_path, formats=["probability"])
    name = f"{prediction.photograph.id}.png"
    assert files == [tmp_path / "probability" / part / name for part in ("cup", "disc")]
    for file, chance in zip(files, prediction.probabilities.values(), strict=True):
        values = np.array(Image.open(file)).astype(float)
        assert values.max() > 255
        np.testing.assert_allclose(values / 65535, chance, atol=1e-5)


def test_names_of_structures_make_no_folders_elsewhere() -> None:
    for path in files_of("a", "probability", ["..", "x/../../y", "."]):
        assert path.parts[0] == "probability"
        assert len(path.parts) == 3
        assert not {"..", "."} & set(path.parts)


def test_an_outline_encloses_the_masks_area() -> None:
    rows, columns = np.mgrid[:80, :90]
    mask = (rows - 30) ** 2 / 600 + (columns - 50) ** 2 / 900 < 1
    (polygon,) = outline(mask)
    assert shapely.Polygon(polygon).area == pytest.approx(mask.sum(), rel=0.01)
    assert np.allclose(polygon.mean(axis=0), (30, 50), atol=1)
    assert outline(np.zeros((5, 5), bool)) == outline(np.zeros((0, 0), bool)) == []
    (whole,) = outline(np.ones((5, 7), bool))
    assert shapely.Polygon(whole).area == pytest.approx(35, rel=0.02)
    (sparse,) = sparse_outline(mask)
    assert len(sparse) < len(polygon) / 2


def test_the_overlay_draws_on_a_copy_along_the_border() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    masks = np.zeros((2, 30, 30), bool)
    masks[1] = True
    drawn = draw_overlay(
        image, PlacedMasks(masks, Box(10, 20, *masks.shape[1:]), 60, 60), ("cup", "disc")
    )
    assert image.sum() == 0
    coloured = drawn.any(axis=-1)
    assert coloured[8:12, 25:45].any(axis=0).all()  # the upper edge of the disc
    assert not coloured[15:35, 25:45].any()  # not its inside
    assert (drawn[..., 1] > drawn[..., 0]).sum() > 80  # green


def _near(drawn: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    near: np.ndarray = np.abs(drawn.astype(int) - colour).max(axis=-1) < 60
    return near


def test_a_small_disc_is_shown_enlarged_in_the_farthest_corner() -> None:
    image = draw_field(600, 200, 420, 30)
    cup, disc = image[..., 0] == 255, image[..., 1] == 255
    placed = PlacedMasks(
        np.stack([cup, disc])[:, 150:250, 370:470], Box(150, 370, 100, 100), 600, 600
    )
    drawn = draw_overlay(image, placed, ("cup", "disc"))
    inset = drawn[-240:, :240]  # the disc is above and to the right
    assert (drawn[-240, :240] == 255).all()  # its frame
    rows, _ = np.nonzero(_near(inset, COLOURS["disc"]) & ~_near(inset, (0, 255, 0)))
    assert np.ptp(rows) > 90  # 60 px in the photograph
    assert (drawn[:360] != image[:360]).any(axis=-1).mean() < 0.01  # thin lines
    large = draw_overlay(
        draw_field(90, 45, 45, 20),
        PlacedMasks(np.ones((2, 40, 40), bool), Box(25, 25, 40, 40), 90, 90),
        ("cup", "disc"),
    )
    assert (large[:25] == large[0, 0]).all(axis=-1).mean() > 0.9  # no inset


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(ValueError, match=r"overlay, mask, nifti, .* coco, got gif"):
        check_formats(["gif", "mask"])
    with pytest.raises(ValueError, match="got none"):
        check_formats([])
