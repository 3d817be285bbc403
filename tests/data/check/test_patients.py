from dataclasses import replace
from pathlib import Path

import pytest

from tvseg.data.cases import Case
from tvseg.data.centres import centres_of
from tvseg.data.check.patients import find_patients, split_patients
from tvseg.settings import SegmentationSettings

CENTRES = centres_of(SegmentationSettings())
A, B = CENTRES["A"], CENTRES["B"]


def _cases(pattern: str | None, **names: str) -> list[Case]:
    """Cases of centre A by split, and one of centre B of the same name as the first."""
    centre = replace(A, patient_pattern=pattern)
    cases = [
        Case(centre, split, name, Path("image"), Path("mask"))
        for split, listed in names.items()
        for name in listed.split()
    ]
    return [*cases, replace(cases[0], centre=B, split="test")]


def test_a_pattern_tells_the_patient() -> None:
    cases = _cases(r"^(\d+)_[LR]$", train="17_L 18_L 18_R", test="17_R 19_L odd")
    patients = find_patients(Path("nowhere"), CENTRES, cases)
    assert patients.of_case["A/train/18_R"] == "18"
    assert [(one.kind, one.where) for one in patients.findings] == [("nameless", "A/test/odd")]
    (finding,) = split_patients(cases, patients)
    assert (finding.kind, finding.where) == ("patient", "A/17")
    assert finding.what == "train (17_L) and test (17_R)"


def test_nobody_knows_without_pattern_and_manifest() -> None:
    cases = _cases(None, train="17_L", test="17_R")
    patients = find_patients(Path("nowhere"), CENTRES, cases)
    assert patients.of_case == {}
    assert split_patients(cases, patients) == []


@pytest.mark.parametrize("centre", ["A", "Domain1", "Drishti-GS"])
@pytest.mark.parametrize("folder", ["", "Domain1"])
def test_a_manifest_wins(tmp_path: Path, centre: str, folder: str) -> None:
    rows = [f"{centre},train,17_L,x,p", f"{centre},test,17_R,x,q", f"{centre},test,gone,x,q"]
    path = tmp_path / folder / "manifest.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["centre,split,name,more,patient", *rows]))
    cases = _cases(r"^(\d+)_[LR]$", train="17_L", test="17_R")
    patients = find_patients(tmp_path, CENTRES, cases)
    assert patients.of_case == {"A/train/17_L": "p", "A/test/17_R": "q"}
    assert [(one.kind, one.where) for one in patients.findings] == [("manifest", "A/test/gone")]


def test_rows_of_other_centres_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("centre,split,name,patient\nelsewhere,train,a,p\n")
    assert find_patients(tmp_path, CENTRES, _cases(None, train="b")).findings == []


def test_a_row_without_a_patient_leaves_it_to_the_name(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("centre,split,name,patient\nA,train,17_L,\n")
    cases = _cases(r"^(\d+)_", train="17_L")
    assert find_patients(tmp_path, CENTRES, cases).of_case == {"A/train/17_L": "17"}


def test_a_centre_may_have_a_manifest_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "Domain1").mkdir()
    rows = "centre,split,name,patient\nDomain1,train,a,p\nDomain1,test,b,p\n"
    (tmp_path / "Domain1" / "manifest.csv").write_text(rows)
    cases = _cases(None, train="a", test="b")
    patients = find_patients(tmp_path, CENTRES, cases)
    assert patients.of_case == {"A/train/a": "p", "A/test/b": "p"}
    assert patients.findings == []
    assert [finding.where for finding in split_patients(cases, patients)] == ["A/p"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"centre,split,name\nA,train,x\n", "lacks patient"), (b"\xff\xfe\x00", "cannot be read")],
)
def test_a_bad_manifest_is_a_finding(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "manifest.csv").write_bytes(content)
    (finding,) = find_patients(tmp_path, CENTRES, _cases(None, train="a")).findings
    assert (finding.kind, finding.where) == ("manifest", str(tmp_path / "manifest.csv"))
    assert words in finding.what
