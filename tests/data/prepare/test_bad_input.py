"""What is wrong is named one by one, and nothing is written half."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from tests.data.prepare import miniatures
from tests.data.prepare.test_archives import SMALL, manifest
from tvseg.data.prepare.cut import Cut
from tvseg.data.prepare.pipeline import Outcome, Recipe, prepare
from tvseg.errors import UsageError

FIELDS = miniatures.fields("B", 4)
MAPS = "Training/GT/drishtiGS_001/SoftMap/drishtiGS_001_{}segSoftmap.png"
TRAINING = "Training/Images/drishtiGS_001.png"


@pytest.fixture
def drishti(tmp_path: Path) -> Path:
    return miniatures.drishti_gs(tmp_path, FIELDS)


def run(source: Path, *, kind: str = "drishti-gs", skip_bad: bool = False) -> Outcome:
    recipe = Recipe(framing=SMALL, skip_bad=skip_bad)
    return prepare(kind, [source], source.parent / "out", recipe)


def larger(path: Path) -> None:
    mask = np.asarray(Image.open(path))
    miniatures.save(np.pad(mask, [(0, 3), (0, 5)]), path)


def sixteen_bits(path: Path) -> None:
    miniatures.save(np.asarray(Image.open(path)).astype(np.uint16) * 257, path)


def coloured(path: Path) -> None:
    mask = np.asarray(Image.open(path))
    miniatures.save(np.stack([mask, mask // 2, mask], axis=-1), path)


def interpolated(path: Path) -> None:
    Image.open(path).rotate(30, Image.Resampling.BICUBIC).save(path)


def empty(path: Path) -> None:
    miniatures.save(np.zeros_like(np.asarray(Image.open(path))), path)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another(path: Path) -> None:
    """The map of another eye, rolled until cup and disc lie apart."""
    miniatures.save(np.roll(np.asarray(Image.open(path)), 30, axis=0), path)


@pytest.mark.parametrize(
    ("damage", "file", "reason"),
    [
        (larger, MAPS.format("cup"), "cup mask must have its photograph's size, 160 x 136 px"),
        (sixteen_bits, MAPS.format("cup"), "masks must have 8 bits a sample"),
        (coloured, MAPS.format("cup"), "masks must be grey"),
        (interpolated, MAPS.format("OD"), "a soft map of four experts must hold 0, 64"),
        (empty, MAPS.format("cup"), "no pixel of cup is marked"),
        (cut_in_half, MAPS.format("OD"), "cannot be read as a picture"),
        (cut_in_half, TRAINING, "cannot be read as a picture"),
        (another, MAPS.format("cup"), "cup must lie in disc"),
        (Path.unlink, MAPS.format("cup"), "a photograph without a mask of its name (cup)"),
        (Path.unlink, TRAINING, "a mask without a photograph of its name"),
    ],
)
def test_a_wrong_file_is_named_and_nothing_is_written(
    drishti: Path, damage: Callable[[Path], None], file: str, reason: str
) -> None:
    damage(drishti / file)
    outcome = run(drishti)
    assert outcome.rows == []
    assert len(outcome.problems) == (2 if "without a photograph" in reason else 1)
    problem = outcome.problems[0]
    assert reason in problem.reason
    names_the_mask = damage in (sixteen_bits, coloured, interpolated) or "OD" in file
    named = file if names_the_mask else TRAINING
    assert problem.file.startswith("Drishti-GS1_files/")
    assert problem.file.endswith(named) or "without a photograph" in reason
    assert problem.centre == "Domain1"
    assert not (drishti.parent / "out").exists()
    kept = run(drishti, skip_bad=True)
    assert [row.name for row in kept.rows] == [f"drishtiGS_00{n}" for n in (2, 3, 4)]
    listed = pd.read_csv(drishti.parent / "out" / "Domain1" / "problems.csv")
    assert listed["reason"].tolist() == [one.reason for one in outcome.problems]
    assert len(manifest(drishti.parent / "out", "Domain1")) == 3


def test_every_problem_is_listed_not_the_first(tmp_path: Path) -> None:
    drishti = miniatures.drishti_gs(tmp_path, miniatures.fields("C", 5))
    larger(drishti / MAPS.format("cup"))
    empty(drishti / MAPS.format("OD").replace("001", "002"))
    (drishti / TRAINING.replace("001", "003")).rename(drishti / "Training/Images/renamed.png")
    reasons = {(one.name, one.reason[:20]) for one in run(drishti).problems}
    assert reasons == {
        ("drishtiGS_001", "the cup mask must ha"),
        ("drishtiGS_002", "no pixel of disc is "),
        ("drishtiGS_003", "a mask without a pho"),
        ("renamed", "a photograph without"),
    }


def test_files_in_an_archive_are_named_as_in_the_archive(drishti: Path) -> None:
    sixteen_bits(drishti / MAPS.format("cup"))
    archive = miniatures.zip_up(drishti, drishti.parent / "download.zip")
    (problem,) = run(archive).problems
    assert problem.file == f"download.zip/Drishti-GS1_files/{MAPS.format('cup')}"
    assert ".prepare-" not in problem.reason


def test_half_an_archive_misses_a_split(drishti: Path) -> None:
    shutil.rmtree(drishti / "Test")
    for skip_bad in (False, True):
        (problem,) = run(drishti, skip_bad=skip_bad).problems
        assert "no good case for the split test" in problem.reason
    assert not (drishti.parent / "out").exists()
    recipe = Recipe(framing=SMALL, split="patients")
    outcome = prepare("drishti-gs", [drishti], drishti.parent / "out", recipe)
    assert sorted(row.split for row in outcome.rows) == ["test", "train", "train"]


def test_half_a_download_is_refused(drishti: Path) -> None:
    archive = miniatures.zip_up(drishti, drishti.parent / "download.zip")
    cut_in_half(archive)
    with pytest.raises(ValueError, match=r"download.zip: must be a whole zip archive"):
        run(archive)
    assert not (drishti.parent / "out").exists()


def test_the_wrong_kind_says_what_it_looks_for(drishti: Path) -> None:
    with pytest.raises(ValueError, match=r"no case among 16 files: there must be \*\*/g0001.jpg"):
        run(drishti, kind="refuge-train")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(truth="expert1"), "must be one of 4of4, 3of4, 2of4, 1of4; got 'expert1'"),
        (Recipe(source_encoding=Recipe().encoding), "have an encoding of their own"),
    ],
)
def test_choices_that_do_not_exist_are_refused(drishti: Path, recipe: Recipe, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepare("drishti-gs", [drishti], drishti.parent / "out", recipe)
    with pytest.raises(UsageError, match="the kind must be one of drishti-gs, "):
        prepare("drishti", [drishti], drishti.parent / "out", recipe)
    assert not (drishti.parent / "out").exists()


def test_a_photograph_twice_is_named(drishti: Path) -> None:
    shutil.copy(drishti / TRAINING, drishti / TRAINING.replace("001", "002"))
    for kind in ("cup", "OD"):
        first = drishti / MAPS.format(kind)
        shutil.copy(first, drishti / MAPS.format(kind).replace("001", "002"))
    (problem,) = run(drishti).problems
    assert problem.reason == f"the same pixels as Drishti-GS1_files/{TRAINING}"
    assert [row.name[-1] for row in run(drishti, skip_bad=True).rows] == ["1", "3", "4"]
    assert len(list((drishti.parent / "out").rglob("*.png"))) == 6


def test_a_centre_that_is_there_is_left_alone(drishti: Path) -> None:
    run(drishti)
    kept = sorted((drishti.parent / "out").rglob("*"))
    with pytest.raises(FileExistsError, match="is there already; give another --centre"):
        run(drishti)
    assert sorted((drishti.parent / "out").rglob("*")) == kept
    with pytest.raises(UsageError, match="plain name of a folder"):
        prepare("drishti-gs", [drishti], drishti.parent / "out", Recipe(centre="../x"))


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_full_disk_ends_everything_and_leaves_nothing(
    drishti: Path, monkeypatch: pytest.MonkeyPatch, skip_bad: bool
) -> None:
    write = Cut.write

    def fail(self: Cut, folder: Path) -> None:
        write(self, folder)
        assert list((drishti.parent / "out").rglob("*.png")), "one is written by now"
        raise OSError("no space left on device")

    monkeypatch.setattr(Cut, "write", fail)
    with pytest.raises(OSError, match="no space left"):
        run(drishti, skip_bad=skip_bad)
    assert not (drishti.parent / "out").exists()


def test_centres_move_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = miniatures.dofe(tmp_path, miniatures.rois("C", 6))
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if Path(target).name == "Domain2":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare("dofe", [source], tmp_path / "out", Recipe())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"maask": np.zeros((3, 3))}, "must hold a variable mask or maskFull, has maask"),
        ({"mask": np.full((136, 160), 3)}, "must be a matrix of 0, 1 and 2"),
        (None, "cannot be read as a MATLAB file"),
    ],
)
def test_matlab_files_that_are_none_are_named(
    tmp_path: Path, variables: dict[str, np.ndarray] | None, reason: str
) -> None:
    source = miniatures.origa(tmp_path, FIELDS)
    path = source / "Semi-automatic-annotations" / "001.mat"
    if variables is None:
        path.write_bytes(path.read_bytes()[:150])
    else:
        savemat(path, variables)
    (problem,) = run(source, kind="origa").problems
    assert reason in problem.reason
    assert problem.file == "ORIGA/Semi-automatic-annotations/001.mat"


def test_cup_and_disc_exchanged_is_noticed(tmp_path: Path) -> None:
    source = miniatures.rim_one_dl(tmp_path, miniatures.rois("B", 3))
    cup = next(source.rglob("r1_Im001-1-Cup-T.png"))
    disc = cup.with_name("r1_Im001-1-Disc-T.png")
    held = cup.read_bytes()
    cup.write_bytes(disc.read_bytes())
    disc.write_bytes(held)
    (problem,) = prepare("rim-one-dl", [source], tmp_path / "out", Recipe()).problems
    assert "are files exchanged" in problem.reason
    assert problem.name == "r1_Im001"


def test_a_cup_that_crosses_the_disc_by_a_pixel_is_cut_off(tmp_path: Path) -> None:
    source = miniatures.rim_one_dl(tmp_path, miniatures.rois("B", 3))
    path = next(source.rglob("r1_Im001-1-Cup-T.png"))
    cup = np.array(Image.open(path))
    cup[0, :2] = 255
    miniatures.save(cup, path)
    outcome = prepare("rim-one-dl", [source], tmp_path / "out", Recipe())
    assert {row.name: row.cut_off_px for row in outcome.rows}["r1_Im001"] == 2


def test_a_copy_in_both_owners_folders_is_named(tmp_path: Path) -> None:
    source = miniatures.rim_one_dl(tmp_path, miniatures.rois("B", 3))
    path = next(source.glob("*/partitioned_randomly/training_set/normal/r1_Im001.png"))
    shutil.copy(path, Path(str(path.parent).replace("training_set", "test_set")))
    problems = prepare("rim-one-dl", [source], tmp_path / "out", Recipe()).problems
    assert {one.reason for one in problems} == {"in both the train and the test folder"}
    assert len(problems) == 2
