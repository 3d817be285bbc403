import numpy as np
import pytest

from tvseg.data.geometry import Box


@pytest.mark.parametrize(
    "box", [Box(2, 3, 4, 4), Box(-2, -1, 5, 3), Box(5, 7, 9, 2), Box(-3, -3, 30, 30)]
)
def test_a_cut_has_the_pictures_pixels_and_zeros_beyond(box: Box) -> None:
    image = np.random.default_rng(0).integers(1, 255, (8, 11), dtype=np.uint8)
    region = box.cut(image)
    assert region.shape == (box.height, box.width)
    padded = np.pad(image, 40)
    top, left = box.row + 40, box.col + 40
    assert (region == padded[top : top + box.height, left : left + box.width]).all()


def test_colours_are_cut_with_their_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    assert (Box(1, 2, 3, 2).cut(image) == image[1:4, 2:4]).all()


def test_a_square_about_a_point_has_it_in_its_middle() -> None:
    assert Box.about(10, 20, 5) == Box(8, 18, 5, 5)
    assert Box.about(9.5, 19.5, 4) == Box(8, 18, 4, 4)
    assert Box.about(9.5, 19.5, 4).centre == (9.5, 19.5)
    assert Box.about(3, 3, 0.2).side == 1


def test_a_box_beside_the_photograph_is_refused() -> None:
    with pytest.raises(ValueError, match="must lie on the photograph of 11 x 8 px"):
        Box(8, 0, 4, 4).cut(np.zeros((8, 11)))


def test_the_box_of_a_mask_is_its_first_and_last_pixels() -> None:
    mask = np.zeros((9, 12), bool)
    assert Box.of(mask).is_empty
    mask[3, 4] = mask[6, 10] = True
    assert Box.of(mask) == Box(3, 4, 4, 7)
    assert (mask[Box.of(mask).slices].sum(), mask.sum()) == (2, 2)
    mask[:] = True
    assert Box.of(np.stack([mask, ~mask])) == Box.of(mask) == Box.frame(mask) == Box(0, 0, 9, 12)


def test_a_square_with_a_margin_keeps_the_middle() -> None:
    assert Box(10, 20, 4, 8).square() == Box(8, 20, 8, 8)
    assert Box(10, 20, 4, 8).square(0.25) == Box(6, 18, 12, 12)


def test_boxes_overlap_or_not() -> None:
    assert Box(0, 0, 10, 10).overlap(Box(5, -2, 10, 5)) == Box(5, 0, 5, 3)
    assert Box(0, 0, 3, 3).overlap(Box(5, 5, 3, 3)).is_empty
    assert Box(5, 7, 2, 3).seen_from(Box(4, 9, 50, 50)) == Box(1, -2, 2, 3)


def test_a_box_is_moved_into_a_picture_before_it_is_shortened() -> None:
    assert Box(-3, 15, 8, 8).moved_into(20, 20) == Box(0, 12, 8, 8)
    assert Box(-3, 5, 30, 8).moved_into(20, 20) == Box(0, 5, 20, 8)
    assert Box(4, 5, 8, 8).moved_into(20, 20) == Box(4, 5, 8, 8)
