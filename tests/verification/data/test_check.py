import shutil
from pathlib import Path

import pytest

from tvseg.errors import UserError
from tvseg.verification.data.check import check_faces
from tvseg.verification.data.synth import write_face_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_face_root(tmp_path / "root", people=2, pictures=2, unseen=20)
    return tmp_path / "root"


def test_a_person_in_training_and_test_is_a_leak(root: Path) -> None:
    person = sorted((root / "eval").iterdir())[-1]
    shutil.copytree(person, root / "train" / person.name)
    problems = check_faces(root).problems
    assert any("pictures that are in the training set, too: 2" in line for line in problems)
    assert any(f"people who are in the training set, too: 1, first {person.name}" in line
               for line in problems)  # fmt: skip


def test_folds_that_share_people(root: Path) -> None:
    path = root / "pairs_test.csv"
    lines = path.read_text().splitlines()
    left = lines[1].split(",")
    path.write_text("\n".join([*lines, f"{left[0]},{left[1]},1,9"]) + "\n")
    (problem,) = check_faces(root).problems
    assert problem.startswith("pairs_test: people in more than one fold: 1, first")


def test_broken_pictures_are_listed(root: Path) -> None:
    (trained,) = sorted((root / "train").glob("*1/*_0001.png"))
    trained.write_bytes(b"no picture")
    unseen = sorted((root / "eval").glob("*/*_0001.png"))[-1]
    unseen.write_bytes(unseen.read_bytes()[:300])
    problems = check_faces(root).problems
    assert len(problems) == 2
    assert "train: p00001/p00001_0001.png: must be a JPEG, PNG or BMP picture" in problems[0]
    assert unseen.name in problems[1]


def test_copies_within_the_training_set_are_a_warning(root: Path) -> None:
    first = root / "train" / "p00000" / "p00000_0001.png"
    shutil.copy(first, first.with_name("again.png"))
    found = check_faces(root)
    assert found.problems == []
    assert "pictures that are there twice: 1" in found.warnings[0]


def test_an_empty_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must hold train/, train\.rec, or a set of pairs"):
        check_faces(tmp_path)
