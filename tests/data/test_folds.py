import shutil
from pathlib import Path

import pytest
from PIL import Image

from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.fingerprint import Identities, identify_all
from tvseg.data.folds import Fold, check_leaks, make_fold
from tvseg.errors import UsageError, UserError
from tvseg.settings import SegmentationSettings, all_but


def _fold(root: Path, holdout: str) -> Fold:
    cases = {
        letter: find_cases(root, c) for letter, c in centres_of(SegmentationSettings()).items()
    }
    return make_fold(cases, holdout)


def test_the_target_is_on_no_other_side(phantoms: Path) -> None:
    fold = _fold(phantoms, "B")
    assert fold.sources == ["A", "C", "D"]
    assert {case.centre.letter for case in fold.target} == {"B"}
    assert {case.split for case in fold.train} == {"train"}
    assert {case.split for case in fold.validation} == {"test"}
    sides = [set(names) for names in fold.names().values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 24


def test_no_holdout_trains_on_all(phantoms: Path) -> None:
    fold = _fold(phantoms, "none")
    assert fold.sources == ["A", "B", "C", "D"]
    assert fold.target == ()


def test_an_unknown_holdout_is_refused(phantoms: Path) -> None:
    with pytest.raises(ValueError, match=r"\(A, B, C, D\) or none, got 'Q'"):
        _fold(phantoms, "Q")


def _identities(fold: Fold) -> Identities:
    return identify_all([*fold.train, *fold.validation, *fold.target])


@pytest.mark.parametrize(
    ("source", "copy", "side"),
    [
        ("Domain1/test", "Domain2/train", "held-out centre"),
        ("Domain1/train", "Domain3/test", "held-out centre"),
        ("Domain2/test", "Domain3/train", "sources' test splits"),
    ],
)
def test_a_renamed_copy_is_a_leak(
    phantoms: Path, tmp_path: Path, source: str, copy: str, side: str
) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    for kind in ("image", "mask"):
        original = sorted((root / source / "ROIs" / kind).iterdir())[0]
        shutil.copy(original, root / copy / "ROIs" / kind / "renamed.png")
    fold = _fold(root, "A")
    with pytest.raises(ValueError, match=f"{side} must share no picture.*same pixels.*renamed"):
        check_leaks(fold, _identities(fold))


def test_a_copy_as_jpeg_is_a_leak(phantoms: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    original = sorted((root / "Domain1" / "test" / "ROIs" / "image").iterdir())[0]
    rois = root / "Domain2" / "train" / "ROIs"
    Image.open(original).save(rois / "image" / "other.jpg", quality=90)
    shutil.copy(next((rois / "mask").iterdir()), rois / "mask" / "other.png")
    fold = _fold(root, "A")
    with pytest.raises(ValueError, match=r"copies by their perc.*A/test/.*B/train/other"):
        check_leaks(fold, _identities(fold))


def test_a_copy_among_the_sources_is_a_leak_of_their_test_split(
    phantoms: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    original = sorted((root / "Domain2" / "test" / "ROIs" / "image").iterdir())[0]
    rois = root / "Domain3" / "train" / "ROIs"
    Image.open(original).save(rois / "image" / "other.jpg", quality=90)
    shutil.copy(next((rois / "mask").iterdir()), rois / "mask" / "other.png")
    fold = _fold(root, "A")
    with pytest.raises(UserError, match=r"sources' test splits must .* copies by.*C/train/other"):
        check_leaks(fold, _identities(fold))


def test_blank_photographs_are_no_copies_of_each_other(phantoms: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    for folder, level in (("Domain1/train", 9), ("Domain2/train", 200)):
        path = sorted((root / folder / "ROIs" / "image").iterdir())[0]
        size = Image.open(path).size
        Image.new("RGB", size, (level, level, level)).save(path)
    fold = _fold(root, "A")
    check_leaks(fold, _identities(fold))


def test_clean_phantoms_leak_nothing(phantoms: Path) -> None:
    fold = _fold(phantoms, "A")
    identities = _identities(fold)
    check_leaks(fold, identities)
    assert len({identity.image for identity in identities.values()}) == 24


def test_the_real_centres_leak_nothing(fundus4: Path) -> None:
    for holdout in "AD":
        fold = _fold(fundus4, holdout)
        check_leaks(fold, _identities(fold))


def test_several_centres_can_be_held_out(phantoms: Path) -> None:
    fold = _fold(phantoms, all_but(["C"], "ABCD"))
    assert fold.holdout == "A+B+D"
    assert fold.sources == ["C"]
    assert {case.centre.letter for case in fold.target} == {"A", "B", "D"}
    assert all_but(["D", "A"], "ABCD") == "B+C"
    assert all_but("ABCD", "ABCD") == "none"
    for wrong in ("A+B+C+D", "A+A", "A+", ""):
        with pytest.raises(UsageError, match="one at least must be left"):
            _fold(phantoms, wrong)
    with pytest.raises(UsageError, match=r"sources must name centres \(A, B\), got Q"):
        all_but(["Q"], "AB")
