import numpy as np
import pytest

from tvseg.verification.data.pictures import Faces
from tvseg.verification.settings import JitterSettings
from tvseg.verification.training.batches import FaceSet, jittered

PIXELS = np.random.default_rng(0).integers(1, 255, (8, 8, 3)).astype(np.uint8)


class Fixed:
    """Draws of angle, shear, size, shift down and shift across that are chosen."""

    def __init__(self, *values: float) -> None:
        self.values = np.array(values)

    def uniform(self, low: float, high: float, count: int) -> np.ndarray:
        assert (low, high, count) == (-1, 1, 5)
        return self.values


def test_a_quarter_turn() -> None:
    turned = jittered(PIXELS, JitterSettings(rotation=90), Fixed(1, 0, 0, 0, 0))
    assert np.array_equal(turned, np.rot90(PIXELS, -1))


def test_shifts_are_shares_of_the_side_and_leave_black() -> None:
    moved = jittered(PIXELS, JitterSettings(translation=0.25), Fixed(0, 0, 0, 1, -0.5))
    assert np.array_equal(moved[2:, :7], PIXELS[:6, 1:])
    assert not moved[:2].any()
    assert not moved[:, 7:].any()


def test_scale_and_shear_keep_the_centre() -> None:
    bar = np.zeros((9, 9, 3), np.uint8)
    bar[2:7, 4] = 200
    for jitter in (JitterSettings(scale=0.5), JitterSettings(shear=30)):
        changed = jittered(bar, jitter, Fixed(0, 1, 1, 0, 0))
        assert changed[4, 4].tolist() == [200, 200, 200]
        assert not np.array_equal(changed, bar)


def test_jitter_depends_on_seed_epoch_and_picture_alone() -> None:
    faces = Faces(("a", "b"), np.stack([PIXELS] * 2), np.zeros(2, int), ("x",))
    jitter = JitterSettings(rotation=30, translation=0.2)

    def image(seed: int, epoch: int, index: int) -> list[int]:
        found = FaceSet(faces, seed=seed, flip=False, jitter=jitter)[epoch, index]["image"]
        return list(found.flatten().tolist())

    assert image(0, 1, 0) == image(0, 1, 0)
    assert all(image(0, 1, 0) != other for other in (image(1, 1, 0), image(0, 2, 0)))
    assert image(0, 1, 0) != image(0, 1, 1)


@pytest.mark.parametrize("jitter", [None, JitterSettings()])
def test_without_jitter_pictures_stay(jitter: JitterSettings | None) -> None:
    faces = Faces(("a",), PIXELS[None], np.zeros(1, int), ("x",))
    image = FaceSet(faces, seed=0, flip=False, jitter=jitter)[0, 0]["image"]
    assert np.array_equal(image.permute(1, 2, 0), PIXELS)
