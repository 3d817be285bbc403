import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.inference.drawn import draw_picture, make_pipeline
from tests.inference.predicted import draw_fields, read_rows, read_tree, run
from tvseg.inference.input.find import Photograph
from tvseg.inference.output import folder as outputs
from tvseg.inference.stream import batches, line
from tvseg.localizer.locate import Location


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad pictures of many kinds."""
    folder = tmp_path_factory.mktemp("photographs")
    picture = Image.fromarray(draw_picture(150, 200))
    picture.save(folder / "rgb.png")
    picture.save(folder / "photo.jpg", quality=95)
    picture.convert("RGBA").save(folder / "rgba.png")
    picture.convert("CMYK").save(folder / "cmyk.tif")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("L").save(folder / "grey.png")
    Image.fromarray(np.full((90, 80), 40000, np.uint16)).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(draw_picture(150, 200))).save(folder / "turned.png", exif=exif)
    content = (folder / "rgb.png").read_bytes()
    (folder / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("this is a text")
    (folder / "broken.dcm").write_text("and so is this, under another name " * 10)
    (folder / "folder.png").mkdir()
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(folder / "pixel.png")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    (folder / "notes.txt").write_text("cannot be read as a picture, and not asked for")
    return folder


GOOD = {"rgb", "photo", "rgba", "cmyk", "palette", "grey", "deep", "turned"}


def test_bad_files_are_listed_and_good_ones_unharmed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome = run(folder, out, formats=["overlay", "mask"])
    good = {row["id"]: row for row in read_rows(out / "measurements.csv")}
    bad = {row["id"]: row["reason"] for row in read_rows(out / "failures.csv")}
    assert set(good) == GOOD
    assert set(bad) == {"cut", "empty", "pixel", "text", "broken", "bomb"}
    assert "cannot be read" in bad["cut"]
    assert "the file is empty" in bad["empty"]
    assert "cannot be read as a picture" in bad["text"]
    assert "must be a DICOM file" in bad["broken"]
    assert "exceeds limit" in bad["bomb"]
    assert "at least 32 px" in bad["pixel"]
    assert all("\n" not in reason and str(folder) not in reason for reason in bad.values())
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
    assert (outcome.predicted, outcome.failed) == (8, 6)
    assert {row["id"] for row in outcome.first_failures} == set(bad)
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["photographs"], counts["predicted"], counts["failed"]) == (14, 8, 6)
    shown = {path.parent.name for path in out.rglob("*.png")}
    assert shown == {"masks", "overlays"}
    assert len(list(out.rglob("*.png"))) == 16


def test_measurements_are_those_of_the_mask(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    run([Photograph("one", folder / "rgb.png", "left", 2.0)], out)
    labels = np.array(Image.open(out / "masks" / "one.png"))
    row = read_rows(out / "measurements.csv")[0]
    heights = [int((labels <= value).sum(axis=0).max()) for value in (0, 128)]
    assert float(row["vcdr"]) == pytest.approx(heights[0] / heights[1], abs=1e-4)
    assert int(row["cup_area_px"]) == (labels == 0).sum()
    assert float(row["disc_area_um2"]) == 4 * (labels < 255).sum()
    assert row["laterality"] == "left"
    assert row["rim_nasal_px"] == row["rim_left_px"] != ""
    assert not (out / "failures.csv").exists()


def test_coco_holds_every_photograph_of_the_folder(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    run(folder, out, formats=["coco", "mask"], batch_size=3)
    coco = COCO(out / "coco.json")
    named = {image["tvseg_id"]: image for image in coco.loadImgs(coco.getImgIds())}
    assert set(named) == GOOD
    for name, image in named.items():
        labels = np.array(Image.open(out / "masks" / f"{name}.png"))
        assert (image["height"], image["width"]) == labels.shape
        for category, highest in ((1, 0), (2, 128)):
            (annotation,) = coco.loadAnns(
                coco.getAnnIds(imgIds=[image["id"]], catIds=[category])
            ) or [None]
            truth = labels <= highest
            if annotation is None:
                assert not truth.any()
                continue
            back = coco.annToMask(annotation).astype(bool)
            assert 2 * (back & truth).sum() / (back.sum() + truth.sum()) >= 0.999
    assert [one["name"] for one in coco.loadCats([1, 2])] == ["cup", "disc"]


def test_a_photograph_without_a_disc_is_reported_and_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 1)
    pipeline = make_pipeline(lambda images: [Location(None, 0.1, "field") for _ in images])
    outcome = run(photographs, tmp_path / "out", pipeline=pipeline)
    (row,) = read_rows(tmp_path / "out" / "measurements.csv")
    assert (row["flags"], row["disc_area_px"], row["vcdr"]) == ("no disc", "0", "")
    assert (row["roi_row"], row["roi_confidence"]) == ("", "0.1000")
    assert outcome.flags == {"no disc": 1}


def test_a_folder_with_files_is_not_written_to(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="must be new or an empty folder"):
        run(folder, folder)
    with pytest.raises(ValueError, match="must be new or an empty folder"):
        run(folder, folder, resume=True)
    run([Photograph("one", folder / "rgb.png")], tmp_path / "out")
    with pytest.raises(ValueError, match="continue with --resume"):
        run([Photograph("one", folder / "rgb.png")], tmp_path / "out")


def test_results_depend_on_neither_threads_nor_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 7)
    run(photographs, tmp_path / "one", batch_size=2)
    monkeypatch.setattr(line, "MAX_HELD_PIXELS", 1)  # nothing ahead
    run(photographs, tmp_path / "other", batch_size=2)
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "other")
    monkeypatch.undo()
    pipeline = make_pipeline()
    for network in pipeline.ensemble.networks:
        network.alone = False  # as on a GPU: a batch at a time, by one thread
    run(photographs, tmp_path / "batches", batch_size=2, pipeline=pipeline)
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "batches")


def test_large_photographs_go_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = draw_fields(tmp_path, 5)
    monkeypatch.setattr(batches, "MAX_BATCH_PIXELS", 2 * 102**2)
    sizes = [len(batch.photographs) for batch in batches.batches(photographs, 3)]
    assert sizes == [2, 1, 1, 1]
    numbers = [batch.number for batch in batches.batches(photographs, 3)]
    assert numbers == [0, 1, 2, 3]


def test_a_full_disk_fails_photographs_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    photographs = draw_fields(tmp_path / "in", 4)
    run(photographs, tmp_path / "whole", formats=["mask", "overlay"])
    write_bytes = outputs.write_bytes

    def full(path: Path, content: bytes) -> None:
        if path.name == "02.png" and path.parent.name == "overlays":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_bytes(path, content)

    monkeypatch.setattr(outputs, "write_bytes", full)
    out = tmp_path / "out"
    outcome = run(photographs, out, formats=["mask", "overlay"])
    assert outcome.predicted == 3
    (row,) = read_rows(out / "failures.csv")
    assert row["reason"] == "its outputs cannot be written: No space left on device"
    assert not list(out.rglob("*02.png*"))  # its mask neither
    monkeypatch.undo()
    run(photographs, out, formats=["mask", "overlay"], resume=True)
    assert read_tree(out) == read_tree(tmp_path / "whole")


def test_an_out_folder_that_cannot_be_written_is_one_error(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises((ValueError, OSError), match="file"):
        run([Photograph("one", folder / "rgb.png")], tmp_path / "file" / "out")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError):
        run([Photograph("one", folder / "rgb.png")], tmp_path / "out")
