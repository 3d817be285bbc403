import csv
import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from shapely.geometry import Polygon

from tests.inference.test_predictor import ENCODING, _picture, _predictor
from tvseg.inference.contours import outline
from tvseg.inference.measurements import measure
from tvseg.inference.predict import find_photographs, predict
from tvseg.inference.writers import draw_overlay


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good and bad pictures of many kinds."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    picture = Image.fromarray(_picture(150, 200))
    picture.save(folder / "rgb.png")
    picture.save(folder / "photo.jpg", quality=95)
    picture.convert("RGBA").save(folder / "rgba.png")
    picture.convert("CMYK").save(folder / "cmyk.tif")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("L").save(folder / "grey.png")
    Image.fromarray(np.full((90, 80), 40000, np.uint16)).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(_picture(150, 200))).save(folder / "turned.png", exif=exif)
    content = (folder / "rgb.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").write_bytes(b"")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "pixel.png")
    (folder / "notes.txt").write_text("not a picture, and not asked for")
    return folder


def test_bad_files_are_listed_and_good_ones_unharmed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = predict(find_photographs([folder]), _predictor(), out, formats=["overlay", "mask"])
    good = {row["id"]: row for row in _rows(out / "measurements.csv")}
    bad = {row["id"]: row["reason"] for row in _rows(out / "failures.csv")}
    assert set(good) == {"rgb", "photo", "rgba", "cmyk", "palette", "grey", "deep", "turned"}
    assert set(bad) == {"cut", "empty", "pixel"}
    assert "cannot be read" in bad["cut"]
    assert "the file is empty" in bad["empty"]
    assert "at least 32 px" in bad["pixel"]
    assert (good["turned"]["width_px"], good["turned"]["height_px"]) == ("200", "150")
    for name in good:
        mask = np.array(Image.open(out / "masks" / f"{name}.png"))
        overlay = np.array(Image.open(out / "overlays" / f"{name}.png"))
        assert mask.shape == (int(good[name]["height_px"]), int(good[name]["width_px"]))
        assert overlay.shape == (*mask.shape, 3)
        assert set(np.unique(mask)) <= {0, 128, 255}
        assert int(good[name]["disc_area_px"]) == (mask < 255).sum()
    for name in ("rgba", "turned"):
        assert good[name]["vcdr"] == good["rgb"]["vcdr"]
    assert len(outcome.measured) == 8
    assert len(list(out.rglob("*"))) == 2 + 2 + 16


def test_measurements_are_those_of_the_mask(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    predict({"one": folder / "rgb.png"}, _predictor(), out, formats=["mask"])
    labels = np.array(Image.open(out / "masks" / "one.png"))
    row = _rows(out / "measurements.csv")[0]
    heights = [int((labels <= value).sum(axis=0).max()) for value in (0, 128)]
    assert float(row["vcdr"]) == pytest.approx(heights[0] / heights[1], abs=1e-4)
    assert int(row["cup_area_px"]) == (labels == 0).sum()
    assert not (out / "failures.csv").exists()


def test_nifti_has_labels_and_orientation(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    predict({"one": folder / "rgb.png"}, _predictor(), out, formats=["mask", "nifti"])
    volume = nib.load(out / "niftis" / "one.nii")
    labels = np.array(Image.open(out / "masks" / "one.png"))
    data = np.asanyarray(volume.dataobj)
    assert data.shape == (200, 150, 1)
    assert (np.select([labels == 0, labels == 128], [1, 2]) == data[..., 0].T).all()
    assert nib.aff2axcodes(volume.affine) == ("L", "P", "S")


def test_a_folder_with_files_is_not_written_to(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="must be new or an empty folder"):
        predict({"one": folder / "rgb.png"}, _predictor(), folder, formats=["mask"])


def test_an_unknown_format_is_refused_before_anything_is_written(
    tmp_path: Path, folder: Path
) -> None:
    with pytest.raises(ValueError, match="overlay, mask, nifti, got gif"):
        predict({"one": folder / "rgb.png"}, _predictor(), tmp_path / "out", formats=["gif"])
    assert not (tmp_path / "out").exists()


def test_what_is_done_is_kept_when_the_loop_ends_early(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = _predictor()
    calls: list[object] = []
    masks = predictor.masks

    def interrupted(image: np.ndarray) -> np.ndarray:
        calls.append(image)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return masks(image)

    monkeypatch.setattr(predictor, "masks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict(
            {"a": folder / "rgb.png", "b": folder / "grey.png"},
            predictor,
            tmp_path / "out",
            formats=["mask"],
        )
    assert [row["id"] for row in _rows(tmp_path / "out" / "measurements.csv")] == ["a"]


def test_ids_tell_files_apart(tmp_path: Path) -> None:
    for name in ("a/x.png", "a/x.jpg", "b/x.png", "b/y.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    a, b = tmp_path / "a", tmp_path / "b"
    assert list(find_photographs([b])) == ["x", "y"]
    assert list(find_photographs([a])) == ["x.jpg", "x.png"]
    assert list(find_photographs([a, b / "x.png"])) == ["a_x.jpg", "a_x.png", "b_x.png"]
    assert list(find_photographs([b / "x.png", b / "." / "x.png", a / ".." / "b" / "x.png"])) == [
        "x"
    ]
    (b / "._x.png").write_bytes(b"")  # what macOS leaves on shared disks
    assert list(find_photographs([b])) == ["x", "y"]


def test_nothing_to_predict_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no pictures"):
        find_photographs([tmp_path])
    with pytest.raises(ValueError, match="does not exist"):
        find_photographs([tmp_path / "none.png"])


def test_an_outline_encloses_the_masks_area() -> None:
    rows, columns = np.mgrid[:80, :90]
    mask = (rows - 30) ** 2 / 600 + (columns - 50) ** 2 / 900 < 1
    (polygon,) = outline(mask)
    assert Polygon(polygon).area == pytest.approx(mask.sum(), rel=0.01)
    assert np.allclose(polygon.mean(axis=0), (30, 50), atol=1)
    assert outline(np.zeros((5, 5), bool)) == []
    (whole,) = outline(np.ones((5, 7), bool))
    assert Polygon(whole).area == pytest.approx(35, rel=0.02)


def test_the_overlay_draws_on_a_copy_along_the_border() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    masks = np.zeros((2, 60, 60), bool)
    masks[1, 10:40, 20:50] = True
    drawn = draw_overlay(image, masks, ("cup", "disc"))
    assert image.sum() == 0
    coloured = drawn.any(axis=-1)
    assert coloured[8:12, 25:45].any(axis=0).all()  # the upper edge of the disc
    assert not coloured[15:35, 25:45].any()  # not its inside
    assert (drawn[..., 1] > drawn[..., 0]).sum() > 100  # green


def test_measure_without_a_disc_gives_no_ratio() -> None:
    empty = measure(np.zeros((2, 9, 9), bool), ENCODING.structures)
    assert (empty["cup_area_px"], empty["disc_area_px"]) == (0, 0)
    assert np.isnan(empty["vcdr"])
    assert set(measure(np.ones((1, 3, 3), bool), ("lesion",))) == {"lesion_area_px"}
