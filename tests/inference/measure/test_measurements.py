import numpy as np
import pytest

from tests.inference.drawn import ENCODING, draw_prediction
from tvseg.data.geometry import Box
from tvseg.inference.measure.flags import flags
from tvseg.inference.measure.measurements import in_micrometres, measure
from tvseg.inference.measure.rim_width import rim_widths
from tvseg.inference.placed_masks import PlacedMasks

ROWS, COLS = np.mgrid[:200, :240]


def _ellipse(row: float, col: float, vertical: float, horizontal: float) -> np.ndarray:
    inside: np.ndarray = ((ROWS - row) / vertical) ** 2 + ((COLS - col) / horizontal) ** 2 < 1
    return inside


DISC = _ellipse(100, 120, 60, 50)
CUP = _ellipse(100, 120, 30, 20)


def test_diameters_and_ratios_are_those_of_the_shapes() -> None:
    found = measure(np.stack([CUP, DISC]), ENCODING.structures)
    assert found["disc_vertical_px"] == pytest.approx(120, abs=2)
    assert found["disc_horizontal_px"] == pytest.approx(100, abs=2)
    assert found["vcdr"] == pytest.approx(30 / 60, abs=0.01)
    assert found["hcdr"] == pytest.approx(20 / 50, abs=0.01)
    assert found["acdr"] == pytest.approx(600 / 3000, abs=0.01)
    assert found["cup_area_px"] == CUP.sum()


def test_without_a_disc_there_is_no_ratio() -> None:
    empty = measure(np.zeros((2, 0, 0), bool), ENCODING.structures)
    assert (empty["cup_area_px"], empty["disc_area_px"], empty["disc_vertical_px"]) == (0, 0, 0)
    assert np.isnan([empty["vcdr"], empty["hcdr"], empty["acdr"], empty["rim_left_px"]]).all()


def test_other_structures_have_areas_only() -> None:
    assert measure(np.ones((1, 3, 3), bool), ("lesion",)) == {"lesion_area_px": 9}


def test_rim_widths_are_distances_between_the_outlines() -> None:
    widths = rim_widths(CUP, DISC, "unknown")
    assert widths["superior"] == pytest.approx(widths["inferior"], abs=0.5)
    assert 26 < widths["superior"] < 31  # 30 on the vertical, less beside it
    assert widths["left"] == pytest.approx(widths["right"], abs=0.5)
    moved = rim_widths(_ellipse(88, 132, 30, 20), DISC, "unknown")
    assert moved["superior"] < widths["superior"] - 4
    assert moved["right"] < widths["right"] - 4
    assert moved["left"] > widths["left"] + 4


def test_nose_and_temple_are_told_where_the_eye_is_known() -> None:
    cup = _ellipse(100, 135, 30, 20)  # to the right
    right, left, unknown = (rim_widths(cup, DISC, eye) for eye in ("right", "left", "unknown"))
    assert right["nasal"] == right["right"] < right["left"] == right["temporal"]
    assert left["nasal"] == left["left"] > left["right"] == left["temporal"]
    assert np.isnan([unknown["nasal"], unknown["temporal"]]).all()
    assert np.isnan(list(rim_widths(np.zeros_like(DISC), DISC, "right").values())).all()


def test_a_cup_beside_the_centre_leaves_the_whole_radius() -> None:
    widths = rim_widths(_ellipse(100, 150, 10, 10), DISC, "unknown")
    assert widths["left"] == pytest.approx(52, abs=4)


def test_micrometres_are_pixels_to_scale() -> None:
    found = in_micrometres({"disc_area_px": 100, "disc_vertical_px": 10, "vcdr": 0.5}, 4.0)
    assert found == {"disc_area_um2": 1600, "disc_vertical_um": 40}
    assert np.isnan(list(in_micrometres({"disc_area_px": 100}, None).values())).all()


def _placed(cup: np.ndarray, disc: np.ndarray) -> PlacedMasks:
    return PlacedMasks(np.stack([cup, disc]), Box.frame(disc), *disc.shape)


IMAGE = np.repeat((40 + 160 * DISC[..., None]).astype(np.uint8), 3, axis=-1)
NONE = np.zeros_like(DISC)


@pytest.mark.parametrize(
    ("image", "window", "placed", "expected"),
    [
        (IMAGE, Box(0, 0, 240, 240), _placed(CUP, DISC), []),
        (IMAGE, Box(30, 60, 130, 130), _placed(CUP, DISC), ["touches ROI border"]),
        (IMAGE, Box(39, 60, 122, 122), _placed(CUP, DISC), []),
        (IMAGE, Box(0, 0, 240, 240), _placed(NONE, DISC), ["cup missing"]),
        (IMAGE, Box(0, 0, 240, 240), _placed(NONE, NONE), ["no disc"]),
        (
            IMAGE,
            None,
            PlacedMasks(np.zeros((2, 0, 0), bool), Box(0, 0, 0, 0), 200, 240),
            ["no disc"],
        ),
        (IMAGE // 12, Box(0, 0, 240, 240), _placed(CUP, DISC), ["low contrast"]),
    ],
)
def test_flags_say_what_to_look_at(
    image: np.ndarray, window: Box | None, placed: PlacedMasks, expected: list[str]
) -> None:
    assert flags(image, window, placed, ENCODING.structures) == expected


def test_the_photographs_own_border_counts_in_a_window_that_reaches_beyond() -> None:
    disc = _ellipse(0, 120, 60, 50)
    assert flags(IMAGE, Box(-100, 20, 200, 200), _placed(NONE, disc), ENCODING.structures) == [
        "cup missing",
        "touches ROI border",
    ]


def test_a_row_has_every_measurement() -> None:
    row = draw_prediction(um_per_px=2.0).measurements
    assert row["roi_kind"] == "field"
    assert (row["roi_row"], row["roi_col"], row["roi_side"]) == (68, 78, 144)
    assert row["disc_vertical_um"] == 2 * float(row["disc_vertical_px"])
    assert row["laterality"] == "unknown"
    assert row["flags"] == ""
    # 8 x 8 of 32 x 32 pixels of the window differ by 0.5
    expected = 0.5 * (144 / 4) ** 2 / float(row["disc_area_px"])
    assert row["disagreement"] == pytest.approx(expected)
