"""Masks for the REFUGE challenge: written, checked, and scored by the challenge's own formulas."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvseg.evaluation.scoring.protocols import PROTOCOLS
from tvseg.evaluation.scoring.refuge import check_submission
from tvseg.evaluation.scoring.rows import score
from tvseg.inference.output.formats import FORMATS
from tvseg.inference.output.formats.refuge import encode_bmp


def _labels(seed: int, *, height: int = 40, width: int = 50) -> np.ndarray:
    """A disc with a cup somewhere in a picture, values 0, 128, 255."""
    rng = np.random.default_rng(seed)
    row, col = np.indices((height, width))
    distance = np.hypot(row - rng.uniform(15, 25), col - rng.uniform(20, 30))
    labels: np.ndarray = np.select(
        [distance < rng.uniform(4, 6), distance < rng.uniform(9, 14)], [0, 128], 255
    )
    return labels.astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A sound submission of three masks, and their photographs."""
    submission, images = tmp_path / "submission", tmp_path / "images"
    submission.mkdir()
    images.mkdir()
    for index in range(3):
        (submission / f"V000{index}.bmp").write_bytes(encode_bmp(_labels(index)))
        Image.new("RGB", (50, 40)).save(images / f"V000{index}.jpg")
    return submission, images


def test_a_mask_comes_back_as_it_was_and_grey(folders: tuple[Path, Path]) -> None:
    picture = Image.open(folders[0] / "V0001.bmp")
    assert (picture.format, picture.mode) == ("BMP", "L")
    assert np.array_equal(np.asarray(picture), _labels(1))
    assert (FORMATS["refuge"].folder, FORMATS["refuge"].suffix) == ("refuge", ".bmp")


def test_a_sound_submission_has_no_problem(folders: tuple[Path, Path]) -> None:
    assert check_submission(*folders) == []


def _save(labels: np.ndarray, path: Path, kind: str = "BMP") -> None:
    Image.fromarray(labels).save(path, kind)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.unlink(), "V0001.bmp: missing"),
        (lambda path: path.rename(path.with_name("T1.bmp")), "T1.bmp: no photograph has this name"),
        (lambda path: path.with_suffix(".png").touch(), "V0001.png: no photograph has this name"),
        (lambda path: path.write_bytes(b"BM"), "V0001.bmp: must be a BMP file"),
        (lambda path: path.write_bytes(b""), "V0001.bmp: must be a BMP file: cannot identify"),
        (lambda path: _save(_labels(1), path, "PNG"), "V0001.bmp: must be a BMP file"),
        (lambda path: _save(np.stack([_labels(1)] * 3, -1), path), "is of Pillow's mode RGB"),
        (lambda path: _save(_labels(1) == 0, path), "is of Pillow's mode 1"),
        (lambda path: _save(_labels(1, height=41), path), "size, 50 x 40 px, has 50 x 41 px"),
        (lambda path: _save(_labels(1) // 128, path), "0, 128 and 255 only, holds 1"),
    ],
)  # fmt: skip
def test_what_the_judge_would_stumble_over_is_named(
    folders: tuple[Path, Path], spoil: Callable[[Path], object], problem: str
) -> None:
    spoil(folders[0] / "V0001.bmp")
    problems = check_submission(*folders)
    assert any(problem in line for line in problems), problems


def test_folders_must_exist_and_hold_photographs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the submission must be a folder"):
        check_submission(tmp_path / "none", tmp_path)
    with pytest.raises(ValueError, match="holds no picture"):
        check_submission(tmp_path, tmp_path)


def test_our_numbers_are_the_challenges(folders: tuple[Path, Path]) -> None:
    """Dice, and the error of the vertical ratio, by the challenge's definitions."""
    for index in range(3):
        ours = np.asarray(Image.open(folders[0] / f"V000{index}.bmp"))
        true = _labels(index + 10)
        masks, truth = (np.stack([a == 0, a < 255]) for a in (ours, true))
        cup, disc = score(masks, truth, ("cup", "disc"), PROTOCOLS["honest"])
        for row, mask, other in zip((cup, disc), masks, truth, strict=True):
            both = float((mask & other).sum())
            assert row["dice"] == pytest.approx(
                2 * both / float(mask.sum() + other.sum()), abs=1e-12
            )
        error = abs(
            max((ours == 0).sum(axis=0)) / max((ours < 255).sum(axis=0))
            - max((true == 0).sum(axis=0)) / max((true < 255).sum(axis=0))
        )
        found = float(str(cup["vcdr"])) - float(str(cup["true_vcdr"]))
        assert abs(found) == pytest.approx(error, abs=1e-12)


def test_photographs_are_compared_upright_as_they_are_predicted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (50, 40)).save(tmp_path / "images" / "T0001.jpg", exif=exif)
    Image.new("L", (40, 50), 255).save(tmp_path / "masks" / "T0001.bmp")
    assert check_submission(tmp_path / "masks", tmp_path / "images") == []
