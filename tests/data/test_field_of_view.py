import numpy as np
import pytest

from tvseg.data.field_of_view import find_field, shrink
from tvseg.data.geometry import Box
from tvseg.data.phantoms.draw import draw_field, draw_roi
from tvseg.data.phantoms.style import STYLES

SIDE_PX = 256


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    return draw_field(STYLES["A"], np.random.default_rng(0), side_px=SIDE_PX).image


def test_the_lit_field_is_found_on_its_black_surround(field: np.ndarray) -> None:
    wide = np.pad(field, ((30, 10), (90, 0), (0, 0)))
    found = find_field(wide)
    assert found.surrounded
    middle = (30 + (field.shape[0] - 1) / 2, 90 + (SIDE_PX - 1) / 2)
    assert found.window.row + (found.window.side - 1) / 2 == pytest.approx(middle[0], abs=3)
    assert found.window.col + (found.window.side - 1) / 2 == pytest.approx(middle[1], abs=3)
    assert found.window.side == pytest.approx(0.98 * SIDE_PX, abs=4)


def test_a_label_in_one_corner_is_no_field(field: np.ndarray) -> None:
    labelled = field.copy()
    labelled[:6, :6] = 255
    assert find_field(labelled).surrounded
    labelled[-6:, :6] = 255
    assert not find_field(labelled).surrounded


def test_a_region_of_interest_has_no_surround() -> None:
    for letter, style in STYLES.items():
        region = draw_roi(style, np.random.default_rng(3), side_px=96).image
        found = find_field(region)
        assert not found.surrounded, letter
        assert found.window == Box(0, 0, 96, 96)


def test_a_black_picture_is_all_field() -> None:
    found = find_field(np.zeros((40, 60, 3), np.uint8))
    assert found.surrounded
    assert found.window == Box(-10, 0, 60, 60)


def test_a_window_is_shrunk_with_black_beyond_the_photograph() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    small = shrink(image, Box(-10, 0, 60, 60), 30)
    assert small.shape == (30, 30, 3)
    assert (small[6:24] == 200).all()
    assert (small[:5] == 0).all()
    assert (small[25:] == 0).all()
