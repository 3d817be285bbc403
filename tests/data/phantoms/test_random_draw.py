import numpy as np
import pytest
from scipy.ndimage import label

from tvseg.data.phantoms.draw import Phantom
from tvseg.data.phantoms.random.draw import draw_random_field, draw_random_roi
from tvseg.data.phantoms.random.style import CUP_TO_DISC, FRAMING

SIDE_PX = 96
COUNT = 60


def _region(seed: int, index: int) -> Phantom:
    return draw_random_roi(np.random.default_rng([seed, index]), side_px=SIDE_PX)


@pytest.fixture(scope="module")
def regions() -> list[Phantom]:
    return [_region(0, index) for index in range(COUNT)]


def test_a_region_depends_on_its_generator_alone(regions: list[Phantom]) -> None:
    again = _region(0, 7)
    assert np.array_equal(again.image, regions[7].image)
    assert np.array_equal(again.cup, regions[7].cup)
    assert np.array_equal(again.disc, regions[7].disc)
    assert not np.array_equal(_region(1, 7).image, again.image)


def test_no_two_regions_are_alike(regions: list[Phantom]) -> None:
    assert len({region.image.tobytes() for region in regions}) == COUNT


def test_the_cup_is_a_piece_within_the_disc(regions: list[Phantom]) -> None:
    for region in regions:
        assert region.image.shape == (SIDE_PX, SIDE_PX, 3)
        assert region.image.dtype == np.uint8
        assert region.cup.any()
        assert not (region.cup & ~region.disc).any()
        assert region.cup.sum() < region.disc.sum()
        assert label(region.disc)[1] == 1


def test_framing_and_cups_span_their_ranges(regions: list[Phantom]) -> None:
    diameters = np.array([2 * np.sqrt(r.disc.sum() / np.pi) / SIDE_PX for r in regions])
    ratios = np.array([np.sqrt(r.cup.sum() / r.disc.sum()) for r in regions])
    low, high = FRAMING
    assert low - 0.05 < diameters.min() < low + 0.1
    assert high - 0.15 < diameters.max() < high + 0.05
    assert ratios.min() < CUP_TO_DISC[0] + 0.2
    assert ratios.max() > CUP_TO_DISC[1] - 0.2


def test_colours_and_brightness_vary_as_cameras_do(regions: list[Phantom]) -> None:
    means = np.array([region.image.mean(axis=(0, 1)) for region in regions])
    red, green, blue = means.T
    assert red.std() > 25
    assert (green / red).std() > 0.08
    assert (red > blue).mean() > 0.9  # hardly ever is an eye blue


def test_a_disc_differs_from_its_surroundings_in_most_pictures(regions: list[Phantom]) -> None:
    contrasts = [
        region.image[region.disc].mean() / max(1.0, region.image[~region.disc].mean())
        for region in regions
    ]
    assert np.mean(np.array(contrasts) > 1.05) > 0.85


def test_a_field_is_round_on_black_and_shows_its_disc() -> None:
    for index in range(8):
        field = draw_random_field(np.random.default_rng([3, index]), side_px=160)
        corner = field.image[:4, :4]
        assert corner.max() < 40  # compression may ring
        assert field.image.max() > 60
        assert field.disc.any()
        assert field.disc.sum() < 0.1 * field.disc.size
        assert not (field.cup & ~field.disc).any()


def test_a_field_without_a_disc_has_empty_masks() -> None:
    for index in range(8):
        rng = np.random.default_rng([4, index])
        field = draw_random_field(rng, side_px=160, with_disc=False)
        assert not field.disc.any()
        assert not field.cup.any()
