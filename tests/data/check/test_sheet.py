from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvseg.data.centres import centres_of
from tvseg.data.check import check_data
from tvseg.data.check.measures import framed
from tvseg.data.check.sheet import draw_sheet
from tvseg.settings import SegmentationSettings

CENTRES = centres_of(SegmentationSettings())


def test_the_sheet_has_a_row_a_centre(phantoms: Path, tmp_path: Path) -> None:
    report = check_data(phantoms, CENTRES)
    draw_sheet(tmp_path / "four.png", report.examined, report.sums, CENTRES)
    del report.sums["D"]
    draw_sheet(tmp_path / "three.png", report.examined, report.sums, CENTRES)
    four, three = (np.array(Image.open(tmp_path / f"{n}.png")) for n in ("four", "three"))
    assert four.shape[1] == three.shape[1]
    assert 200 < four.shape[0] - three.shape[0] < 260  # one row of 2.1 inches at 110 dpi
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["four.png", "three.png"]


def test_a_sheet_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one case that can be read"):
        draw_sheet(tmp_path / "sheet.png", [], {}, CENTRES)


def test_the_mean_picture_is_that_of_the_centre(phantoms: Path) -> None:
    report = check_data(phantoms, CENTRES)
    images = [np.array(Image.open(path)) for path in phantoms.glob("Domain2/*/ROIs/image/*.png")]
    mean = report.sums["B"].image / report.sums["B"].cases
    assert mean.mean(axis=(0, 1)) == pytest.approx(np.mean(images, axis=(0, 1, 2)), abs=0.5)
    shares = [one.shares for one in report.examined if one.case.centre.letter == "B"]
    masks = report.sums["B"].masks / report.sums["B"].cases
    assert masks.mean(axis=(1, 2)) == pytest.approx(np.mean(shares, axis=0), abs=0.005)


def test_framing_is_told_by_what_holds_the_rest() -> None:
    assert framed(CENTRES["A"].encoding) == "disc"
    settings = SegmentationSettings(structures=("a", "b"), encoding={0: (), 1: ("a",), 2: ("b",)})
    assert framed(centres_of(settings)["A"].encoding) == "marked region"
