import numpy as np
import pytest

from tvseg.data.geometry import Window


@pytest.mark.parametrize(
    "window", [Window(2, 3, 4), Window(-2, -1, 5), Window(5, 7, 9), Window(-3, -3, 30)]
)
def test_a_cut_pasted_back_is_the_picture_inside_the_window(window: Window) -> None:
    image = np.random.default_rng(0).integers(1, 255, (8, 11), dtype=np.uint8)
    region = window.cut(image)
    assert region.shape == (window.side, window.side)
    whole = window.paste(region[None], 8, 11)[0]
    rows, cols = np.indices((8, 11))
    inside = (rows >= window.row) & (rows < window.row + window.side)
    inside &= (cols >= window.col) & (cols < window.col + window.side)
    assert (whole == np.where(inside, image, 0)).all()
    assert region.sum() == image[inside].astype(int).sum()  # zeros beyond the photograph


def test_colours_are_cut_with_their_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    assert (Window(1, 2, 3).cut(image) == image[1:4, 2:5]).all()


def test_a_window_about_a_point_has_it_in_its_middle() -> None:
    assert Window.about(10, 20, 5) == Window(8, 18, 5)
    assert Window.about(9.5, 19.5, 4) == Window(8, 18, 4)


def test_a_window_beside_the_photograph_is_refused() -> None:
    with pytest.raises(ValueError, match="must overlap its photograph of 11 x 8 px"):
        Window(8, 0, 4).cut(np.zeros((8, 11)))
    with pytest.raises(ValueError, match="masks must be 4 px a side"):
        Window(0, 0, 4).paste(np.zeros((1, 3, 3), bool), 8, 11)
    with pytest.raises(ValueError, match="at least 1 px"):
        Window(0, 0, 0)
