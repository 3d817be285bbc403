"""Openly licensed archives, rebuilt in miniature, pass through."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from tests.data.prepare import miniatures
from tests.data.prepare.test_archives import FIELDS, SMALL, assert_cut_from, manifest, written
from tvseg.data.prepare.pipeline import Recipe, prepare

SIX = miniatures.fields("B", 6)


@pytest.mark.parametrize("truth", ["staple", "expert1"])
def test_chaksu_is_a_centre_for_each_camera(tmp_path: Path, truth: str) -> None:
    source = miniatures.chaksu(tmp_path, SIX)
    recipe = Recipe(framing=SMALL, truth=truth)
    outcome = prepare("chaksu", [source], tmp_path / "out", recipe)
    assert outcome.problems == []
    for camera, phantoms in (("Bosch", SIX[::2]), ("Remidio", SIX[1::2])):
        table = manifest(tmp_path / "out", f"Chaksu-{camera}")
        assert table["split"].tolist() == ["train", "train", "test"]
        for (_, row), phantom in zip(table.iterrows(), phantoms, strict=True):
            _, (cup, disc) = written(tmp_path / "out", row)
            wanted = phantom.disc if truth == "staple" else binary_dilation(phantom.disc)
            assert (cup.sum(), disc.sum()) == (phantom.cup.sum(), wanted.sum())


def test_chaksu_lists_photographs_without_the_truth(tmp_path: Path) -> None:
    source = miniatures.chaksu(tmp_path, SIX)
    recipe = Recipe(framing=SMALL, truth="expert2")
    problems = prepare("chaksu", [source], tmp_path / "out", recipe).problems
    assert len(problems) == len(SIX)
    assert "without a mask of its name" in problems[0].reason


@pytest.mark.parametrize("truth", ["expert1", "expert2"])
def test_papila_keeps_both_eyes_of_a_patient_together(tmp_path: Path, truth: str) -> None:
    source = miniatures.papila(tmp_path, SIX)
    recipe = Recipe(framing=SMALL, truth=truth, test_share=0.3)
    assert prepare("papila", [source], tmp_path / "out", recipe).problems == []

    def draw(mask: np.ndarray) -> np.ndarray:
        is_disc = any((mask == phantom.disc).all() for phantom in SIX)
        return binary_dilation(mask) if is_disc and truth == "expert2" else mask

    assert_cut_from(tmp_path / "out", "PAPILA", SIX, draw=draw)
    table = manifest(tmp_path / "out", "PAPILA")
    assert table["name"].tolist()[:2] == ["RET002OD", "RET002OS"]
    assert table["eye"].tolist()[:2] == ["R", "L"]
    assert table.groupby("patient")["split"].nunique().max() == 1


@pytest.mark.parametrize("text", ["", "1 2\n3 4", "1 2 3\n" * 4, "a b\n" * 4, "nan 1\n" * 4])
def test_a_contour_of_papila_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    source = miniatures.papila(tmp_path, FIELDS)
    path = source / "ExpertsSegmentations" / "Contours" / "RET002OD_cup_exp1.txt"
    path.write_text(text)
    (problem,) = prepare("papila", [source], tmp_path / "out", Recipe(framing=SMALL)).problems
    assert "RET002OD" in problem.file
    assert "x and y on each of three lines or more" in problem.reason


def test_grape_takes_regions_as_they_are_and_keeps_visits_together(tmp_path: Path) -> None:
    phantoms = miniatures.rois("C", 6)
    source = miniatures.grape(tmp_path, phantoms)
    assert prepare("grape", [source], tmp_path / "out", Recipe(test_share=0.3)).problems == []
    assert_cut_from(tmp_path / "out", "GRAPE", phantoms)
    table = manifest(tmp_path / "out", "GRAPE")
    assert table["name"].tolist()[:2] == ["1_OS_1", "1_OS_2"]
    assert set(table["eye"]) == {"L"}
    assert table.groupby("patient")["split"].nunique().max() == 1


def test_hrf_seg_reads_what_is_opaque_and_adds_the_cup(tmp_path: Path) -> None:
    source = miniatures.hrf_seg(tmp_path, FIELDS)
    recipe = Recipe(framing=SMALL, test_share=0.3)
    assert prepare("hrf-seg", [source], tmp_path / "out", recipe).problems == []
    assert_cut_from(tmp_path / "out", "HRF-Seg", FIELDS)
    empty = np.zeros((*FIELDS[0].disc.shape, 4), np.uint8)
    miniatures.save(empty, source / "Folder_2_Optic_Cup" / "02_dr.png")
    problem = prepare("hrf-seg", [source], tmp_path / "no", recipe).problems[0]
    assert "must show a structure by opaque pixels" in problem.reason
