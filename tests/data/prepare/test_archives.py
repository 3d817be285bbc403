"""An archive of each kind, rebuilt in miniature, passes through."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from tests.data.prepare import miniatures
from tvseg.data.cases import find_cases
from tvseg.data.centres import Centre, MaskEncoding, centres_of
from tvseg.data.check import check_data
from tvseg.data.geometry import Box
from tvseg.data.images import read_image
from tvseg.data.phantoms.draw import Phantom
from tvseg.data.prepare.adapters import ADAPTERS
from tvseg.data.prepare.framing import Framing
from tvseg.data.prepare.pipeline import Recipe, prepare
from tvseg.data.prepare.raw_case import Choices
from tvseg.data.prepare.raw_files import gather
from tvseg.settings import SegmentationSettings

A = centres_of(SegmentationSettings())["A"]
SMALL = Framing(side_px=miniatures.FRAME_PX)
FIELDS = miniatures.fields("A", 4)


def manifest(root: Path, centre: str) -> pd.DataFrame:
    table = pd.read_csv(root / centre / "manifest.csv", dtype={"name": str}, keep_default_na=False)
    return table.sort_values("name", ignore_index=True)


def written(root: Path, row: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Photograph and masks (cup, disc) of a manifest's row."""
    rois = root / row["centre"] / row["split"] / "ROIs"
    labels = np.asarray(Image.open(rois / "mask" / f"{row['name']}.png"))
    assert labels.ndim == 2
    return read_image(rois / "image" / f"{row['name']}.png"), np.stack([labels == 0, labels < 255])


def assert_cut_from(
    root: Path,
    centre: str,
    phantoms: Sequence[Phantom],
    *,
    draw: Callable[[np.ndarray], np.ndarray] = lambda mask: mask,
) -> None:
    """Each written case is its phantom in the manifest's window, and the root has no problems."""
    table = manifest(root, centre)
    assert len(table) == len(phantoms)
    for (_, row), phantom in zip(table.iterrows(), phantoms, strict=True):
        image, masks = written(root, row)
        assert (row["height_px"], row["width_px"]) == image.shape[:2]
        window = Box(row["row"], row["col"], row["height_px"], row["height_px"])
        expected = np.stack([window.cut(draw(phantom.cup)), window.cut(draw(phantom.disc))])
        assert (masks == expected).all()
        difference = np.abs(image.astype(int) - window.cut(phantom.image)).mean()
        assert difference < 6  # JPEG's, where the owner compresses
    report = check_data(root, {"A": Centre("A", "mine", centre, A.encoding)})
    assert report.problems == []


@pytest.mark.parametrize("packed", [False, True])
def test_drishti_gs(tmp_path: Path, packed: bool) -> None:
    source = miniatures.drishti_gs(tmp_path, FIELDS)
    if packed:
        source = miniatures.zip_up(source, tmp_path / "Drishti-GS1_files.zip")
    outcome = prepare("drishti-gs", [source], tmp_path / "out", Recipe(framing=SMALL))
    assert outcome.problems == []
    assert_cut_from(tmp_path / "out", "Domain1", FIELDS)
    table = manifest(tmp_path / "out", "Domain1")
    assert table["split"].tolist() == ["train", "train", "train", "test"]
    first = table.iloc[0]
    photograph = "Drishti-GS1_files/Training/Images/drishtiGS_001.png"
    assert first["source"].endswith(photograph)
    content = (tmp_path / photograph).read_bytes()
    assert first["sha256"] == hashlib.sha256(content).hexdigest()
    assert (first["source_height_px"], first["source_width_px"]) == FIELDS[0].disc.shape
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Domain1"]


def test_a_copy_in_another_folder_is_passed_over_and_another_picture_is_named(
    tmp_path: Path,
) -> None:
    images = miniatures.drishti_gs(tmp_path, FIELDS) / "Training" / "Images"
    (images / "GLAUCOMA").mkdir()
    shutil.copy(images / "drishtiGS_001.png", images / "GLAUCOMA")
    outcome = prepare("drishti-gs", [tmp_path], tmp_path / "out", Recipe(framing=SMALL))
    assert outcome.problems == []
    miniatures.save(FIELDS[1].image, images / "GLAUCOMA" / "drishtiGS_001.png")
    (problem,) = prepare("drishti-gs", [tmp_path], tmp_path / "no", Recipe()).problems
    assert problem.reason.startswith("another file of the same name: ")
    assert "GLAUCOMA" in problem.file + problem.reason


@pytest.mark.parametrize(("truth", "wider_px"), [("4of4", 0), ("3of4", 1), ("1of4", 3)])
def test_drishti_experts_may_disagree(tmp_path: Path, truth: str, wider_px: int) -> None:
    source = miniatures.drishti_gs(tmp_path, FIELDS)
    recipe = Recipe(framing=SMALL, truth=truth)
    prepare("drishti-gs", [source], tmp_path / "out", recipe)

    def draw(mask: np.ndarray) -> np.ndarray:
        return binary_dilation(mask, iterations=wider_px) if wider_px else mask

    assert_cut_from(tmp_path / "out", "Domain1", FIELDS, draw=draw)


@pytest.mark.parametrize("truth", ["average", "expert1", "expert2"])
def test_rim_one_r3_takes_the_view_that_was_drawn_on(tmp_path: Path, truth: str) -> None:
    source = miniatures.rim_one_r3(tmp_path, FIELDS)
    recipe = Recipe(framing=SMALL, truth=truth, seed=1)
    outcome = prepare("rim-one-r3", [source], tmp_path / "out", recipe)
    assert outcome.problems == []
    inner = [FIELDS[1], FIELDS[3], FIELDS[0], FIELDS[2]]  # G-2, G-4, N-1, N-3

    def draw(mask: np.ndarray) -> np.ndarray:
        return mask if truth == "average" else binary_dilation(mask)

    assert_cut_from(tmp_path / "out", "Domain2", inner, draw=draw)
    table = manifest(tmp_path / "out", "Domain2")
    assert table["name"].tolist() == ["G-2-L", "G-4-L", "N-1-R", "N-3-R"]
    assert table["eye"].tolist() == ["L", "L", "R", "R"]
    assert sorted(table["split"]) == ["test", "train", "train", "train"]


def test_a_second_view_that_was_drawn_on_is_taken_and_placed(tmp_path: Path) -> None:
    source = miniatures.rim_one_r3(tmp_path, FIELDS)
    for path in source.rglob("N-1-R-*-Avg.png"):
        drawn = np.asarray(Image.open(path))
        miniatures.save(np.roll(drawn, drawn.shape[1] // 2, axis=1), path)
    prepare("rim-one-r3", [source], tmp_path / "out", Recipe(framing=SMALL))
    table = manifest(tmp_path / "out", "Domain2").set_index("name")
    other = prepare("rim-one-r3", [source], tmp_path / "wide", Recipe(framing=Framing()))
    assert table.loc["N-1-R", "col"] >= miniatures.WIDTH_PX - miniatures.FRAME_PX
    wide = {row.name: row for row in other.rows}
    assert (wide["N-1-R"].col, wide["N-1-R"].width_px) == (miniatures.WIDTH_PX,) * 2
    assert wide["N-3-R"].col == 0


def test_rim_one_dl_is_taken_whole(tmp_path: Path) -> None:
    phantoms = miniatures.rois("B", 3)
    source = miniatures.rim_one_dl(tmp_path, phantoms)
    assert prepare("rim-one-dl", [source], tmp_path / "out", Recipe()).problems == []
    assert_cut_from(tmp_path / "out", "Domain2", phantoms)
    table = manifest(tmp_path / "out", "Domain2")
    assert table["name"].tolist() == ["r1_Im001", "r3_G-2-L_left_half", "r3_N-3-L_left_half"]
    assert table["split"].tolist() == ["train", "train", "test"]
    assert table["eye"].tolist() == ["", "L", "L"]
    prepare("rim-one-dl", [source], tmp_path / "r3", Recipe(only="r3_*"))
    assert len(manifest(tmp_path / "r3", "Domain2")) == 2


def test_refuge_parts_are_centres(tmp_path: Path) -> None:
    parts = {part: miniatures.fields(style, 3) for part, style in
             (("train", "C"), ("val", "D"), ("test", "B"))}  # fmt: skip
    source = miniatures.refuge(tmp_path, parts)
    for part, centre in (("train", "Domain3"), ("val", "Domain4"), ("test", "REFUGE-test")):
        outcome = prepare(f"refuge-{part}", [source], tmp_path / "out", Recipe(framing=SMALL))
        assert outcome.problems == []
        order = [0, 2, 1] if part == "train" else [0, 1, 2]  # g0001, g0003, n0002
        assert_cut_from(tmp_path / "out", centre, [parts[part][index] for index in order])
    first = manifest(tmp_path / "out", "Domain3").iloc[0]
    assert first["source"] == ("REFUGE2/REFUGE-Training400.zip/Training400/Glaucoma/g0001.jpg")


def test_refuge_labels_mean_what_the_owner_says(tmp_path: Path) -> None:
    source = miniatures.refuge(tmp_path, {"val": miniatures.rois("D", 1)})
    choices = Choices("", (), lambda centre: A.encoding)
    found = ADAPTERS["refuge-val"].find(gather([source], tmp_path / "unpacked"), choices)
    (case,) = found.cases
    (phantom,) = miniatures.rois("D", 1)
    assert (case.masks()["cup"] == phantom.cup).all()
    assert (case.masks()["disc"] == phantom.disc).all()


def test_origa_follows_the_owners_list(tmp_path: Path) -> None:
    source = miniatures.origa(tmp_path, FIELDS)
    assert prepare("origa", [source], tmp_path / "out", Recipe(framing=SMALL)).problems == []
    assert_cut_from(tmp_path / "out", "ORIGA", FIELDS)
    table = manifest(tmp_path / "out", "ORIGA")
    assert table["split"].tolist() == ["train", "train", "train", "test"]
    assert set(table["eye"]) == {"L"}


def test_origa_without_a_list_is_split_by_patients(tmp_path: Path) -> None:
    source = miniatures.origa_650(tmp_path, FIELDS)
    recipe = Recipe(framing=SMALL, centre="mine", test_share=0.5)
    prepare("origa", [source], tmp_path / "out", recipe)
    assert_cut_from(tmp_path / "out", "mine", FIELDS)
    assert sorted(manifest(tmp_path / "out", "mine")["split"]) == ["test", "test", "train", "train"]


def test_dofe_is_taken_as_it_is(tmp_path: Path) -> None:
    phantoms = miniatures.rois("C", 6)
    archive = miniatures.zip_up(miniatures.dofe(tmp_path, phantoms), tmp_path / "Fundus-doFE.zip")
    assert prepare("dofe", [archive], tmp_path / "out", Recipe()).problems == []
    assert_cut_from(tmp_path / "out", "Domain1", phantoms[::2])
    assert_cut_from(tmp_path / "out", "Domain2", phantoms[1::2])


def test_the_folders_of_an_archive_may_be_given_one_by_one(tmp_path: Path) -> None:
    source = miniatures.drishti_gs(tmp_path, FIELDS)
    sources = [source / "Training", source / "Test"]
    outcome = prepare("drishti-gs", sources, tmp_path / "out", Recipe(framing=SMALL))
    assert [row.source.split("/")[0] for row in outcome.rows] == ["Training"] * 3 + ["Test"]
    domains = miniatures.dofe(tmp_path, miniatures.rois("C", 6))
    outcome = prepare("dofe", [domains / "Domain1"], tmp_path / "out2", Recipe())
    assert len(outcome.rows) == 3


def test_a_prepared_root_loads_as_cases(tmp_path: Path) -> None:
    source = miniatures.drishti_gs(tmp_path, FIELDS)
    prepare("drishti-gs", [source], tmp_path / "out", Recipe(framing=SMALL))
    cases = find_cases(tmp_path / "out", A)
    assert [case.split for case in cases] == ["train"] * 3 + ["test"]
    _, masks = cases[0].read()
    assert masks.any(axis=(1, 2)).all()


def test_masks_are_written_in_the_centres_encoding(tmp_path: Path) -> None:
    source = miniatures.drishti_gs(tmp_path, FIELDS)
    encoding = MaskEncoding({0: (), 1: ("disc",), 2: ("cup", "disc")}, ("cup", "disc"))
    recipe = Recipe(framing=SMALL, encodings={"Domain1": encoding})
    prepare("drishti-gs", [source], tmp_path / "out", recipe)
    for path in (tmp_path / "out").rglob("mask/*.png"):
        assert set(np.unique(np.asarray(Image.open(path)))) == {0, 1, 2}


def test_jitter_moves_the_frame_the_same_way_twice(tmp_path: Path) -> None:
    source = miniatures.drishti_gs(tmp_path, FIELDS)
    rows = [
        [(row.row, row.col) for row in prepare("drishti-gs", [source], tmp_path / out, recipe).rows]
        for out, recipe in (
            ("still", Recipe(framing=SMALL)),
            ("one", Recipe(framing=Framing(side_px=64, jitter=0.2), seed=3)),
            ("same", Recipe(framing=Framing(side_px=64, jitter=0.2), seed=3)),
            ("other", Recipe(framing=Framing(side_px=64, jitter=0.2), seed=4)),
        )
    ]
    assert rows[1] == rows[2]
    assert rows[0] != rows[1] != rows[3]
    assert_cut_from(tmp_path / "one", "Domain1", FIELDS)
