from collections.abc import Sequence

import numpy as np
import pytest

from tests.inference.drawn import draw_field, draw_picture, make_pipeline, make_predictor
from tvseg.data.geometry import Box
from tvseg.inference.pipeline import Finding
from tvseg.inference.regions import Locator, cut, fixed_window, parse_window
from tvseg.localizer.locate import Location


def _found(finding: Finding | ValueError) -> Finding:
    assert isinstance(finding, Finding)
    return finding


@pytest.mark.parametrize(
    "window",
    [Box(60, 110, 120, 120), Box(90, 150, 71, 71), Box(-40, 20, 260, 260), Box(50, 90, 400, 400)],
)
def test_masks_come_back_in_the_photographs_own_coordinates(window: Box) -> None:
    image = draw_field(300, 120, 180, 40)
    finding = _found(make_pipeline(fixed_window(window))([image])[0])
    inside = np.zeros((300, 300), bool)
    inside[max(0, window.row) : window.row + window.side,
           max(0, window.col) : window.col + window.side] = True  # fmt: skip
    for mask, channel in zip(finding.placed.whole(), (0, 1), strict=True):
        truth = (image[..., channel] == 255) & inside
        assert mask.shape == truth.shape
        assert not (mask & ~inside).any()
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.85
    assert finding.window == window


def test_a_whole_picture_gives_the_predictors_masks() -> None:
    for shape in ((120, 300), (97, 64), (64, 64)):
        image = draw_picture(*shape)
        finding = _found(make_pipeline()([image])[0])
        assert (finding.placed.whole() == make_predictor().masks(image)).all()


def test_each_photograph_of_a_batch_gets_its_own() -> None:
    def locate(images: Sequence[np.ndarray]) -> list[Location]:
        assert [len(image) for image in images] == [200, 250, 220, 90]
        return [
            Location(Box(20, 30, 80, 80), 0.9, "field"),
            Location(None, 0.1, "field"),
            Location(None, 0.8, "roi"),
            Location(Box(500, 500, 80, 80), 0.9, "field"),
        ]

    tiny_image = np.zeros((9, 9, 3), np.uint8)
    images = [draw_field(200, 60, 70, 20), tiny_image, draw_field(250, 60, 70, 9),
              draw_field(220, 100, 90, 60), draw_field(90, 40, 40, 20)]  # fmt: skip
    first, tiny, none, roi, beside = make_pipeline(locate)(images)
    assert isinstance(tiny, ValueError)
    assert "at least 32 px" in str(tiny)
    assert isinstance(beside, ValueError)
    assert "must lie on the photograph of 90 x 90 px" in str(beside)
    assert _found(none).window is None
    assert not _found(none).placed.whole().any()
    assert _found(none).placed.whole().shape == (2, 250, 250)
    assert _found(roi).window == Box(0, 0, 220, 220)
    for finding, image in ((_found(first), images[0]), (_found(roi), images[3])):
        truth = image[..., 1] == 255
        mask = finding.placed.whole()[1]
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9


def test_nothing_sound_in_a_batch_is_no_batch() -> None:
    asked: list[int] = []

    def locate(images: Sequence[np.ndarray]) -> list[Location]:
        asked.append(len(images))
        return []

    locator: Locator = locate
    (finding,) = make_pipeline(locator)([np.zeros((5, 5, 3), np.uint8)])
    assert isinstance(finding, ValueError)
    assert asked == [0]


def test_a_window_is_told_by_corner_and_side() -> None:
    assert parse_window("10, -20,300") == Box(10, -20, 300, 300)
    for wrong in ("centre", "1,2", "1,2,3.5"):
        with pytest.raises(ValueError, match="auto, none or ROW,COL,SIZE"):
            parse_window(wrong)
    with pytest.raises(ValueError, match="at least 32 px"):
        parse_window("0,0,0")


def test_beyond_the_photograph_there_is_black() -> None:
    image = np.full((50, 40, 3), 9, np.uint8)
    assert (cut(image, Box(0, 0, 50, 50)) == image).all()  # a whole picture is padded later
    assert cut(image, Box(0, 0, 60, 60)).sum() == image.sum()
