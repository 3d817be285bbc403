import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvseg.data.centres import centres_of
from tvseg.data.check import Report, check_data
from tvseg.data.check.findings import KINDS, Finding
from tvseg.settings import SegmentationSettings

CENTRES = centres_of(SegmentationSettings())


@pytest.fixture
def root(phantoms: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(phantoms, tmp_path / "root"))


def _found(root: Path, *, config: SegmentationSettings | None = None) -> list[Finding]:
    return check_data(root, centres_of(config or SegmentationSettings())).findings


def _edit(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    Image.fromarray(change(np.array(Image.open(path)))).save(path)


def _mask(root: Path, name: str) -> Path:
    return next(root.rglob(f"mask/{name}.png"))


def test_phantoms_have_no_problems(phantoms: Path) -> None:
    report = check_data(phantoms, CENTRES)
    assert report.findings == []
    assert report.left_alone == ["FullField"]
    assert [one.case.id for one in report.examined[3:6]] == [
        "A/train/phantom-A-0005", "A/test/phantom-A-0001", "A/test/phantom-A-0004",
    ]  # fmt: skip
    assert {letter: sums.cases for letter, sums in report.sums.items()} == dict.fromkeys("ABCD", 6)


def test_the_real_centres_have_no_problems(fundus4: Path) -> None:
    report = check_data(fundus4, CENTRES)
    assert report.problems == []
    assert {finding.kind for finding in report.warnings} <= {"alike"}
    assert len(report.examined) == 537


def test_each_damage_is_named_once(root: Path) -> None:
    train = root / "Domain1" / "train" / "ROIs"
    truncated = train / "image" / "phantom-A-0003.png"
    truncated.write_bytes(truncated.read_bytes()[:500])
    _edit(_mask(root, "phantom-A-0002"), lambda labels: np.where(labels == 0, np.uint8(77), labels))
    _edit(_mask(root, "phantom-A-0005"), lambda labels: labels[:, :-1])
    _mask(root, "phantom-B-0000").unlink()
    shutil.copy(*(root / f"Domain2/test/ROIs/image/phantom-B-0001.{x}" for x in ("png", "jpg")))
    shutil.rmtree(root / "Domain3")
    shutil.rmtree(root / "Domain4/test")
    found = {(one.kind, one.where): one.what for one in _found(root)}
    assert found.keys() == {
        ("centre", "C"), ("centre", "D/test"), ("unpaired", "B/train/phantom-B-0000"),
        ("twins", "B/test/phantom-B-0001"), ("unreadable", "A/train/phantom-A-0003"),
        ("size", "A/train/phantom-A-0005"), ("values", "A/train/phantom-A-0002"),
    }  # fmt: skip
    assert "centre C (REFUGE train) must have a folder" in found["centre", "C"]
    assert "cannot be read as a picture" in found["unreadable", "A/train/phantom-A-0003"]
    assert "96 x 96 px, got 95 x 96 px" in found["size", "A/train/phantom-A-0005"]
    assert "found 77" in found["values", "A/train/phantom-A-0002"]
    assert "has no mask" in found["unpaired", "B/train/phantom-B-0000"]


def test_findings_stand_in_the_order_of_their_kinds(root: Path) -> None:
    _mask(root, "phantom-A-0000").write_bytes(b"")
    shutil.rmtree(root / "Domain4")
    kinds = [finding.kind for finding in _found(root)]
    assert kinds == sorted(kinds, key=list(KINDS).index) == ["centre", "unreadable"]


def _copy(root: Path, source: str, target: str, **options: int) -> None:
    """Put a copy of a photograph, with another's mask, under another name."""
    path = next((root / source / "ROIs" / "image").iterdir())
    Image.open(path).save(root / target / "ROIs" / "image" / f"copy.{'jpg' if options else 'png'}",
                          **options)  # fmt: skip
    masks = root / target / "ROIs" / "mask"
    shutil.copy(next(masks.iterdir()), masks / "copy.png")


@pytest.mark.parametrize(
    ("target", "kind", "is_problem"),
    [
        ("Domain1/train", "repeat", False),
        ("Domain1/test", "copy", True),
        ("Domain3/train", "copy", True),
    ],
)
@pytest.mark.parametrize("options", [{}, {"quality": 85}])
def test_a_copy_is_found_whatever_its_format(
    root: Path, target: str, kind: str, is_problem: bool, options: dict[str, int]
) -> None:
    _copy(root, "Domain1/train", target, **options)
    (finding,) = _found(root)
    assert finding.kind == kind
    assert KINDS[kind].is_problem == is_problem
    assert "copy" in finding.where + finding.what
    assert ("the same pixels" in finding.what) == (not options)


def test_an_eye_taken_twice_is_a_warning(root: Path) -> None:
    path = root / "Domain2/train/ROIs/image/phantom-B-0000.png"
    moved = np.roll(np.array(Image.open(path)), 2, axis=0)
    (root / "Domain2/test/ROIs/image/phantom-B-0001.png").unlink()
    Image.fromarray(moved).save(root / "Domain2/test/ROIs/image/phantom-B-0001.png")
    (finding,) = _found(root)
    assert (finding.kind, finding.where) == ("alike", "B/train/phantom-B-0000")
    assert "B/test/phantom-B-0001" in finding.what


def test_masks_that_look_wrong_are_told_apart(root: Path) -> None:
    def cup_outside(labels: np.ndarray) -> np.ndarray:
        labels[:3, :4] = 0
        return labels

    _edit(_mask(root, "phantom-A-0000"), cup_outside)
    _edit(_mask(root, "phantom-A-0002"), lambda labels: np.maximum(labels, 128))
    flat = next((root / "Domain2/test/ROIs/image").iterdir())
    _edit(flat, lambda image: np.full_like(image, 9))
    found = {(one.kind, one.where): one.what for one in _found(root)}
    assert found == {
        ("outside", "A/train/phantom-A-0000"): "12 px of cup with no disc around them",
        ("pieces", "A/train/phantom-A-0000"): "cup in 2 pieces, disc in 2 pieces",
        ("empty", "A/train/phantom-A-0002"): "no pixel of cup",
        ("blank", f"B/test/{flat.stem}"): "all of one brightness (9)",
    }


def test_a_structure_that_a_centre_never_has_is_a_problem(root: Path) -> None:
    for path in (root / "Domain2").rglob("mask/*.png"):
        _edit(path, lambda labels: np.maximum(labels, 128))
    problems = check_data(root, CENTRES).problems
    assert [(one.kind, one.where) for one in problems] == [("unmarked", "B")]
    assert problems[0].what == "no mask of centre B (RIM-ONE r3) has cup"


def test_pieces_of_a_scattered_structure_are_not_told(root: Path) -> None:
    def second_disc(labels: np.ndarray) -> np.ndarray:
        labels[:3, :4] = 128
        return labels

    _edit(_mask(root, "phantom-A-0000"), second_disc)
    assert [one.kind for one in check_data(root, CENTRES).findings] == ["pieces"]
    assert _found(root, config=SegmentationSettings(scattered=("disc",))) == []


def test_a_tiny_photograph_is_a_problem(root: Path) -> None:
    for path in (root / "Domain1").rglob("phantom-A-0000.png"):
        Image.open(path).resize((96, 31), Image.Resampling.NEAREST).save(path)
    found = [one for one in _found(root) if one.kind != "alike"]
    assert [(one.kind, one.what) for one in found] == [
        ("small", "96 x 31 px, at least 32 px a side are needed")
    ]


def test_measures_do_not_depend_on_threads(phantoms: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    one = check_data(phantoms, CENTRES)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    three = check_data(phantoms, CENTRES)
    assert one.examined == three.examined
    assert one.sums.keys() == three.sums.keys() == CENTRES.keys()
    assert all(np.array_equal(one.sums[k].image, three.sums[k].image) for k in one.sums)


def test_an_inverted_mask_is_a_problem(root: Path) -> None:
    path = next((root / "Domain1").rglob("mask/phantom-A-0000.png"))
    labels = np.array(Image.open(path))
    Image.fromarray(np.where(labels == 128, labels, 255 - labels)).save(path)
    found = {one.kind: one.what for one in _found(root)}
    assert found["inverted"] == "cup and disc on all four borders; is the mask inverted?"


def test_one_odd_file_is_a_problem_and_the_rest_is_examined(root: Path) -> None:
    path = next((root / "Domain1").rglob("image/phantom-A-0000.png"))
    path.unlink()
    os.mkfifo(path)
    found = [one for one in _found(root) if one.kind != "alike"]
    assert [one.kind for one in found] == ["unreadable"]
    assert "must be a regular file" in found[0].what


def test_an_empty_root_is_nothing_but_problems(tmp_path: Path) -> None:
    report = check_data(tmp_path, CENTRES)
    assert isinstance(report, Report)
    assert [one.kind for one in report.problems] == ["centre"] * 4
