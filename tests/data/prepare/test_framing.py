import numpy as np
import pytest

from tvseg.config import ConfigError
from tvseg.data.geometry import Box
from tvseg.data.prepare.framing import Framing

RNG = np.random.default_rng(0)
DRAWN = np.zeros((50, 60), bool)
DRAWN[10:20, 30:38] = True  # bounding box about (14.5, 33.5), 10 px high
DRAWN[12, 30] = False


@pytest.mark.parametrize("text", ["800px", "2.5d", "3d", "none"])
def test_a_frame_reads_back(text: str) -> None:
    assert Framing.parse(text).describe() == text


@pytest.mark.parametrize("text", ["800", "px", "-3d", "2.5px", "0d", "0px", "all"])
def test_other_frames_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a frame must read|must be one positive number"):
        Framing.parse(text)


def test_the_frame_is_about_the_bounding_box() -> None:
    assert Framing(side_px=20).window(DRAWN, RNG) == Box(5, 24, 20, 20)
    assert Framing(diameters=3).window(DRAWN, RNG) == Box(0, 19, 30, 30)
    assert Framing().window(DRAWN, RNG) is None


def test_a_frame_may_reach_beyond_the_photograph() -> None:
    assert Framing(side_px=40).window(DRAWN, RNG) == Box(-5, 14, 40, 40)


def test_jitter_never_pushes_the_structures_out() -> None:
    framing = Framing(side_px=14, jitter=0.5)
    windows = [framing.window(DRAWN, np.random.default_rng(seed)) for seed in range(40)]
    shifts = {(window.row, window.col) for window in windows if window}
    assert len(shifts) > 10
    for window in windows:
        assert window is not None
        assert window.cut(DRAWN).sum() == DRAWN.sum()


def test_structures_wider_than_the_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="10 px wide, more than the frame of 9 px"):
        Framing(side_px=9).window(DRAWN, RNG)


@pytest.mark.parametrize(
    "wrong", [{"side_px": 8, "diameters": 2.0}, {"jitter": 0.1}, {"side_px": 8, "jitter": 0.6}]
)
def test_contradictions_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"must be one positive number|jitter must lie"):
        Framing(**wrong)  # type: ignore[arg-type]
