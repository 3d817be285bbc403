"""Photographs and drawings of one's own, in each form that a row may have."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.data.prepare import miniatures
from tests.data.prepare.test_archives import SMALL, assert_cut_from, manifest
from tvseg.data.centres import MaskEncoding
from tvseg.data.images import read_labels
from tvseg.data.prepare.pipeline import Outcome, Recipe, prepare
from tvseg.errors import UserError

FIELDS = miniatures.fields("D", 4)
NAMES = [f"eye {index}" for index in range(4)]
CUP_AND_DISC = ("cup", "disc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clinic's folder of photographs."""
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(phantom.image, tmp_path / "clinic" / "photos" / f"{name}.png")
    return tmp_path / "clinic"


def run(folder: Path, rows: list[dict[str, str]], recipe: Recipe) -> Outcome:
    pd.DataFrame(rows).to_csv(folder / "own.csv", index=False)
    return prepare("own", [folder / "own.csv"], folder.parent / "out", recipe)


def rows_of(**columns: str) -> list[dict[str, str]]:
    """A row a photograph; ``{}`` in a cell is the photograph's name."""
    return [
        {"photograph": f"photos/{name}.png", **{key: text.format(name) for key, text in
                                                 columns.items()}}
        for name in NAMES
    ]  # fmt: skip


def test_a_mask_a_structure(folder: Path) -> None:
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(phantom.cup.astype(np.uint8), folder / f"cups/{name}.png")
        miniatures.save(phantom.disc, folder / f"discs/{name}.png")  # one bit a pixel
    rows = rows_of(cup="cups/{}.png", disc="discs/{}.png", centre="clinic")
    rows[0]["name"] = "renamed"
    assert run(folder, rows, Recipe(framing=SMALL)).problems == []
    assert_cut_from(folder.parent / "out", "clinic", [*FIELDS[1:], FIELDS[0]])
    table = manifest(folder.parent / "out", "clinic")
    assert table["name"].tolist() == [*NAMES[1:], "renamed"]
    assert table["source"].tolist()[0] == "photos/eye 1.png"


def test_one_mask_in_an_encoding_of_its_own(folder: Path) -> None:
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(miniatures.labels(phantom, 7, 3, 0), folder / f"{name}.bmp")
    encoding = MaskEncoding({0: (), 3: ("disc",), 7: CUP_AND_DISC}, CUP_AND_DISC)
    recipe = Recipe(framing=SMALL, source_encoding=encoding)
    assert run(folder, rows_of(mask="{}.bmp"), recipe).problems == []
    assert_cut_from(folder.parent / "out", "own", FIELDS)


@pytest.mark.parametrize("by_option", [True, False])
def test_one_mask_in_the_encoding_that_the_settings_give_the_centre(
    folder: Path, by_option: bool
) -> None:
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(miniatures.labels(phantom, 2, 1, 0), folder / f"{name}.png")
    encoding = MaskEncoding({0: (), 1: ("disc",), 2: CUP_AND_DISC}, CUP_AND_DISC)
    rows = rows_of(mask="{}.png") if by_option else rows_of(mask="{}.png", centre="clinic")
    recipe = Recipe(
        framing=SMALL, encodings={"clinic": encoding}, centre="clinic" if by_option else None
    )
    assert run(folder, rows, recipe).problems == []
    written = [*(folder.parent / "out" / "clinic").rglob("mask/*.png")]
    assert len(written) == len(NAMES)
    for path in written:
        assert np.unique(read_labels(path)).tolist() == [0, 1, 2]


def test_other_structures_in_the_settings_encoding(folder: Path) -> None:
    """Vessel and lesion lie side by side; the written values are the encoding's."""
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(phantom.cup, folder / f"{name}-lesion.png")
        miniatures.save(phantom.disc & ~phantom.cup, folder / f"{name}-vessel.png")
    encoding = MaskEncoding({9: (), 128: ("vessel",), 0: ("lesion",)}, ("vessel", "lesion"))
    rows = rows_of(vessel="{}-vessel.png", lesion="{}-lesion.png")
    with pytest.raises(ValueError, match="it has photograph, vessel, lesion"):
        run(folder, rows, Recipe(framing=SMALL))
    assert run(folder, rows, Recipe(framing=SMALL, encoding=encoding)).problems == []
    masks = sorted((folder.parent / "out" / "own").rglob("mask/*.png"))
    assert [np.unique(read_labels(path)).tolist() for path in masks] == [[0, 9, 128]] * 4


@pytest.mark.parametrize("form", ["labelme", "coco"])
def test_polygons(folder: Path, form: str) -> None:
    if form == "labelme":
        for name, phantom in zip(NAMES, FIELDS, strict=True):
            miniatures.labelme(phantom, folder / f"{name}.json")
        rows = rows_of(polygons="{}.json")
    else:
        named = {f"photos/{n}.png": p for n, p in zip(NAMES, FIELDS, strict=True)}
        miniatures.coco(named, folder / "all.json")
        rows = rows_of(polygons="all.json")
    assert run(folder, rows, Recipe(framing=SMALL)).problems == []
    assert_cut_from(folder.parent / "out", "own", FIELDS)


def test_patients_stay_together(folder: Path) -> None:
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(miniatures.labels(phantom, 0, 128, 255), folder / f"{name}.png")
    rows = rows_of(mask="{}.png", eye="R")
    for row, patient in zip(rows, ("p1", "p2", "p1", "p3"), strict=True):
        row["patient"] = patient
    outs = []
    for seed in range(8):
        recipe = Recipe(framing=SMALL, seed=seed, centre=f"seed{seed}", test_share=0.4)
        run(folder, rows, recipe)
        table = manifest(folder.parent / "out", f"seed{seed}")
        assert (table.groupby("patient")["split"].nunique() == 1).all()
        assert table["patient"].tolist() == ["p1", "p2", "p1", "p3"]
        outs.append(tuple(table["split"]))
    assert len(set(outs)) > 1
    again = run(folder, rows, Recipe(framing=SMALL, seed=5, centre="again", test_share=0.4))
    assert tuple(row.split for row in again.rows) == outs[5]


def test_a_patient_on_both_sides_is_named(folder: Path) -> None:
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(miniatures.labels(phantom, 0, 128, 255), folder / f"{name}.png")
    rows = rows_of(mask="{}.png")
    for row, patient, split in zip(
        rows, ("p1", "p2", "p1", ""), ("train", "train", "test", "test"), strict=True
    ):
        row.update(patient=patient, split=split)
    outcome = run(folder, rows, Recipe(framing=SMALL))
    assert outcome.rows == []
    assert [p.reason for p in outcome.problems] == ["patient p1 is in train and in test"] * 2
    kept = run(folder, rows, Recipe(framing=SMALL, skip_bad=True))
    assert [row.name for row in kept.rows] == ["eye 1", "eye 3"]


def test_rows_that_are_wrong_in_themselves_are_named(folder: Path) -> None:
    rows = rows_of(mask="photos/{}.png", cup="", disc="", eye="L", split="train")
    rows.append({**rows[0], "name": "../x"})
    rows.append({**rows[0], "centre": ".hidden"})
    rows[0]["photograph"] = "photos/gone.png"
    rows[1].update(eye="up")
    rows[2].update(cup="photos/eye 2.png")
    rows[3].update(mask="", cup="photos/eye 2.png")
    problems = run(folder, rows, Recipe()).problems
    for number, words in enumerate(
        (
            "photograph: there is no file photos/gone.png",
            "laterality must be R, OD, right, L, OS, left or empty, got 'up'",
            "this one has mask, cup",
            "this one has cup",
            "name must be a plain name, got '../x'",
            "centre must be a plain name, got '.hidden'",
        )
    ):
        assert words in problems[number].reason
        assert problems[number].file == f"own.csv, line {number + 2}"


def test_a_row_with_a_cell_too_many_is_named(folder: Path) -> None:
    (folder / "own.csv").write_bytes(b"\xef\xbb\xbfphotograph, mask\nphotos/eye 0.png,a,b.png\n")
    (problem,) = prepare("own", [folder / "own.csv"], folder / "out", Recipe()).problems
    assert problem.reason == "has more cells than the 2 columns"


@pytest.mark.parametrize("columns", ["photograph,mask,pateint", "mask"])
def test_columns_that_are_misspelt_or_missing_are_refused(folder: Path, columns: str) -> None:
    (folder / "own.csv").write_text(f"{columns}\na,b,c\n")
    with pytest.raises(
        UserError, match=rf"own.csv must have .*; it has {columns.replace(',', ', ')}"
    ):
        prepare("own", [folder / "own.csv"], folder / "out", Recipe())


def test_a_table_in_another_code_is_named(folder: Path) -> None:
    (folder / "own.csv").write_bytes("photograph,mask\né.png,b.png\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"own.csv: must be a CSV file in UTF-8"):
        prepare("own", [folder / "own.csv"], folder / "out", Recipe())


def test_a_table_may_name_folders_and_umlauts_as_other_systems_do(folder: Path) -> None:
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        miniatures.save(miniatures.labels(phantom, 0, 128, 255), folder / f"{name}.png")
    (folder / "photos" / "eye 0.png").rename(folder / "photos" / "Mu\u0308ller.png")
    listed, eyes = ["M\u00fcller", *NAMES[1:]], ("OD", "os", "Right", "")
    rows = [
        f"photos\\{photograph}.png;{name}.png;{eye}"
        for photograph, name, eye in zip(listed, NAMES, eyes, strict=True)
    ]
    text = "sep=;\n" + "\n".join(["photograph;mask;eye;;", *rows, ";;", ""])
    (folder / "own.csv").write_text(text, encoding="utf-8-sig")
    outcome = prepare("own", [folder / "own.csv"], folder / "out", Recipe(framing=SMALL))
    assert outcome.problems == []
    assert sorted(row.eye for row in outcome.rows) == ["", "L", "R", "R"]


def test_a_mask_that_is_inverted_is_a_problem(folder: Path) -> None:
    for name, phantom in zip(NAMES, FIELDS, strict=True):
        cup, disc = (
            np.where(mask, 0, 255).astype(np.uint8) for mask in (phantom.cup, phantom.disc)
        )
        miniatures.save(cup, folder / f"{name}.cup.png")
        miniatures.save(disc, folder / f"{name}.disc.png")
    problems = run(folder, rows_of(cup="{}.cup.png", disc="{}.disc.png"), Recipe()).problems
    assert "cup and disc must not touch all four borders" in problems[0].reason
