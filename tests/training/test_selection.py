from pathlib import Path

import pytest

from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.folds import make_fold
from tvseg.settings import SegmentationSettings
from tvseg.training.selection import make_selection


def test_only_the_paper_selects_on_the_target(phantoms: Path) -> None:
    cases = {
        letter: find_cases(phantoms, c) for letter, c in centres_of(SegmentationSettings()).items()
    }
    fold = make_fold(cases, "A")
    honest, paper = make_selection("sources", fold), make_selection("target", fold)
    assert {case.centre.letter for case in honest.cases} == {"B", "C", "D"}
    assert {(case.centre.letter, case.split) for case in paper.cases} == {("A", "test")}
    assert paper.words == "selected on target"
    with pytest.raises(ValueError, match="selection=sources"):
        make_selection("target", make_fold(cases, "none"))
