from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.inference.drawn import draw_field, draw_picture, make_pipeline
from tvseg.data.geometry import Box
from tvseg.errors import UserError
from tvseg.inference.pipeline import Segmentation
from tvseg.inference.postprocessing import Postprocessing
from tvseg.inference.regions import Locator, fixed_window, parse_window
from tvseg.localizer.locate import Location


def _sound(result: Segmentation | UserError) -> Segmentation:
    assert isinstance(result, Segmentation)
    return result


@pytest.mark.parametrize(
    "window",
    [Box(60, 110, 120, 120), Box(90, 150, 71, 71), Box(-40, 20, 260, 260), Box(50, 90, 400, 400)],
)
def test_masks_come_back_in_the_photographs_own_coordinates(window: Box) -> None:
    image = draw_field(300, 120, 180, 40)
    result = _sound(make_pipeline(fixed_window(window))([image])[0])
    inside = np.zeros((300, 300), bool)
    inside[max(0, window.row) : window.row + window.side,
           max(0, window.col) : window.col + window.side] = True  # fmt: skip
    for mask, channel in zip(result.placed.whole(), (0, 1), strict=True):
        truth = (image[..., channel] == 255) & inside
        assert mask.shape == truth.shape
        assert not (mask & ~inside).any()
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.85
    assert result.location.window == window


@pytest.mark.parametrize("size", [(64, 64), (200, 200), (120, 300), (301, 97), (33, 40)])
def test_masks_of_a_whole_picture_have_its_size_and_place(size: tuple[int, int]) -> None:
    image = draw_picture(*size)
    masks = _sound(make_pipeline()([image])[0]).placed.whole()
    assert masks.shape == (2, *size)
    for mask, channel in zip(masks, (0, 1), strict=True):
        truth = image[..., channel] > 0
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.85
        centre_px = [np.mean(np.nonzero(m), axis=1) for m in (mask, truth)]
        assert np.abs(centre_px[0] - centre_px[1]).max() < max(size) / 64


def test_masks_can_be_made_on_a_square_grid() -> None:
    pipeline = replace(make_pipeline(), grid_px=80)
    (result,) = pipeline([np.full((120, 300, 3), 255, np.uint8)])
    masks = _sound(result).placed.whole()
    assert masks.shape == (2, 80, 80)
    assert masks[:, :32].all()
    assert not masks[:, 32:].any()  # the padding


def test_ellipses_reach_beyond_what_they_are_made_of() -> None:
    pipeline = replace(make_pipeline(), postprocessing=Postprocessing(shape="ellipse"))
    image = np.zeros((128, 128, 3), np.uint8)
    image[40:80, 40:80, 1] = 255  # a square, which an ellipse of its moments leaves
    disc = _sound(pipeline([image])[0]).placed.whole()[1]
    assert disc[60].sum() > 44
    image[4:10, 4:10, 1] = image[110:116, 100:106, 1] = 255
    assert (_sound(pipeline([image])[0]).placed.whole()[1] == disc).all()


def test_a_window_lies_on_the_grid_as_in_the_photograph() -> None:
    image = draw_field(300, 120, 180, 40)
    pipeline = make_pipeline(fixed_window(Box(60, 110, 121, 121)))
    native = _sound(pipeline([image])[0]).placed.whole()
    (half,) = replace(pipeline, grid_px=150)([image])
    shrunk = native.reshape(2, 150, 2, 150, 2).mean(axis=(2, 4)) > 0.5
    masks = _sound(half).placed.whole()
    assert 2 * (masks & shrunk).sum() / (masks.sum() + shrunk.sum()) > 0.97


def test_padding_is_decided_by_the_window_not_by_its_numbers() -> None:
    """A whole picture continues with its edge, a window that was given with black."""
    image = np.full((100, 60, 3), 255, np.uint8)
    whole = _sound(make_pipeline()([image])[0])
    given = _sound(make_pipeline(fixed_window(Box(0, 0, 100, 100)))([image])[0])
    assert whole.logits is not None
    assert given.logits is not None
    assert (whole.logits > 0).all()
    assert (given.logits[:, :, 41:] < 0).all()


def test_each_photograph_of_a_batch_gets_its_own() -> None:
    def locate(images: Sequence[np.ndarray]) -> list[Location]:
        assert [len(image) for image in images] == [200, 250, 220, 90]
        return [
            Location(Box(20, 30, 80, 80), 0.9, "field"),
            Location(None, 0.1, "field"),
            Location(Box.frame(images[2]), 0.8, "roi"),
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
    assert _sound(none).location.window is None
    assert not _sound(none).placed.whole().any()
    assert _sound(none).placed.whole().shape == (2, 250, 250)
    assert _sound(roi).location.window == Box(0, 0, 220, 220)
    for result, image in ((_sound(first), images[0]), (_sound(roi), images[3])):
        truth = image[..., 1] == 255
        mask = result.placed.whole()[1]
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.9


def test_nothing_sound_in_a_batch_is_no_batch() -> None:
    asked: list[int] = []

    def locate(images: Sequence[np.ndarray]) -> list[Location]:
        asked.append(len(images))
        return []

    locator: Locator = locate
    (result,) = make_pipeline(locator)([np.zeros((5, 5, 3), np.uint8)])
    assert isinstance(result, ValueError)
    assert asked == [0]


def test_a_window_is_told_by_corner_and_side() -> None:
    assert parse_window("10, -20,300") == Box(10, -20, 300, 300)
    for wrong in ("centre", "1,2", "1,2,3.5"):
        with pytest.raises(ValueError, match="auto, none or ROW,COL,SIZE"):
            parse_window(wrong)
    with pytest.raises(ValueError, match="at least 32 px"):
        parse_window("0,0,0")


def test_a_window_is_bounded_by_its_photograph() -> None:
    (result,) = make_pipeline(fixed_window(Box(0, 0, 99999, 99999)))([draw_field(90, 40, 40, 20)])
    assert isinstance(result, UserError)
    assert "at most 2 times as large as its photograph of 90 x 90 px" in str(result)
