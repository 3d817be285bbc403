"""What is wrong with data is one clear line, in the check before a training and in the training."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tvseg.cli import cli


def tvseg(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def root(phantoms: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(phantoms, tmp_path / "root"))


def _same_image_in_two_centres(root: Path) -> None:
    shutil.copy(root / "Domain1/train/ROIs/image/phantom-A-0000.png",
                root / "Domain2/train/ROIs/image/phantom-B-0000.png")  # fmt: skip


def _empty_centre(root: Path) -> None:
    for path in (root / "Domain2/train/ROIs").rglob("*.png"):
        path.unlink()


def _missing_folder(root: Path) -> None:
    shutil.rmtree(root / "Domain2")


def _strange_value(root: Path) -> None:
    path = root / "Domain2/train/ROIs/mask/phantom-B-0000.png"
    labels = np.array(Image.open(path))
    labels[0, 0] = 77
    Image.fromarray(labels).save(path)


def _mask_of_another_size(root: Path) -> None:
    path = root / "Domain2/train/ROIs/mask/phantom-B-0000.png"
    Image.open(path).crop((0, 0, 96, 90)).save(path)


def _truncated_photograph(root: Path) -> None:
    path = root / "Domain2/train/ROIs/image/phantom-B-0000.png"
    path.write_bytes(path.read_bytes()[:300])


def _no_mask(root: Path) -> None:
    (root / "Domain2/train/ROIs/mask/phantom-B-0000.png").unlink()


DAMAGES = [
    (_same_image_in_two_centres, "the same pixels", ["the same pixels"]),
    (_empty_centre, "has no train photographs", ["has no train photographs"]),
    (_missing_folder, "must have a folder", ["must have a folder"]),
    (_strange_value, "found 77 (1 px)", ["found 77 (1 px)"]),
    (_mask_of_another_size, "96 x 96 px, got 96 x 90 px", ["96 x 96 px, got 96 x 90 px"]),
    (_truncated_photograph, "cannot be read as a picture", ["cannot be read as a picture"]),
    (_no_mask, "phantom-B-0000.png has no mask", ["1 in", "phantom-B-0000 (no mask)"]),
]


@pytest.mark.parametrize(
    ("damage", "checked", "trained"), DAMAGES, ids=[damage[0].__name__[1:] for damage in DAMAGES]
)
def test_each_damage_is_one_clear_line(
    root: Path, damage: Callable[[Path], None], checked: str, trained: list[str]
) -> None:
    damage(root)
    result = tvseg("data", "check", root)
    assert result.exit_code == 1, result.output
    assert sum(checked in line for line in result.output.splitlines()) == 1, result.output

    runs = root.parent / "runs"
    result = tvseg("train", "--holdout", "A", "--data", root, "--out", runs, "aspp=dense",
                   "encoder_weights=none", "image_size=64")  # fmt: skip
    assert result.exit_code == 1, result.output
    # progress bars too, where a test before this one has loaded them
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert all(words in line for words in trained), line
    assert not runs.exists()


def test_long_lists_are_cut_and_stand_in_full_in_the_file(root: Path, tmp_path: Path) -> None:
    for path in (root / "Domain1").rglob("mask/*.png"):
        Image.fromarray(np.full((96, 96), 7, np.uint8)).save(path)
    result = tvseg("data", "check", root, "--lines", 2, "--csv", tmp_path / "found.csv")
    assert result.exit_code == 1
    assert "Problem: masks with values outside the encoding (6)" in result.output
    assert "  ... and 4 more\n" in result.output
    assert "6 problems, no warnings." in result.stderr
    table = pd.read_csv(tmp_path / "found.csv")
    assert table["severity"].tolist() == ["problem"] * 6
    assert table["where"].tolist()[:2] == ["A/train/phantom-A-0000", "A/train/phantom-A-0002"]
    assert table["what"].str.startswith("Domain1/").all()  # not the root's own path


def test_warnings_leave_the_exit_code_at_0(root: Path) -> None:
    shutil.copy(root / "Domain1/train/ROIs/image/phantom-A-0000.png",
                root / "Domain1/train/ROIs/image/phantom-A-0002.png")  # fmt: skip
    result = tvseg("data", "check", root)
    assert result.exit_code == 0
    assert "Warning: one photograph twice in a split (1)" in result.output
    assert "No problems, 1 warning." in result.output


def test_the_measures_of_every_case_can_be_had(phantoms: Path, tmp_path: Path) -> None:
    result = tvseg("data", "check", phantoms, "--cases", tmp_path / "cases.csv")
    assert result.exit_code == 0, result.output
    cases = pd.read_csv(tmp_path / "cases.csv")
    assert len(cases) == 24
    assert ((cases["cup_share"] > 0) & (cases["cup_share"] < cases["disc_share"])).all()
    assert ((cases["extent"] ** 2 * np.pi / 4 / cases["disc_share"]).between(0.9, 1.1)).all()
    assert (cases["brightness"] > 0).all()


def test_a_sheet_needs_something_to_draw(root: Path, tmp_path: Path) -> None:
    for number in range(1, 5):
        shutil.rmtree(root / f"Domain{number}")
    result = tvseg("data", "check", root, "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 1
    assert not (tmp_path / "sheet.png").exists()
