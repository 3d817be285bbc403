from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from tvseg.config import load_settings
from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.dataset import Draw, LoadedCases, load_cases
from tvseg.data.phantoms.draw import draw_roi
from tvseg.data.phantoms.style import STYLES
from tvseg.localizer.composites import (
    CANVAS_PX,
    DISC_PX,
    Composites,
    Region,
    draw_retinas,
    paint_over,
)

SIDE_PX = 128


@pytest.fixture(scope="module")
def retinas() -> list[np.ndarray]:
    return draw_retinas(3, seed=0)


@pytest.fixture(scope="module")
def loaded(phantoms: Path) -> LoadedCases:
    centre = centres_of(load_settings())["A"]
    return load_cases(find_cases(phantoms, centre), image_size=96)[0]


def _made(
    loaded: LoadedCases, retinas: list[np.ndarray], recipe: str, count: int = 8
) -> list[tuple[np.ndarray, np.ndarray]]:
    composites = Composites(loaded, retinas, image_size=SIDE_PX)
    with patch("tvseg.localizer.composites.RECIPES", {recipe: 1.0}):
        made = [composites[Draw(n % len(loaded.cases), n)] for n in range(count)]
    return [(one["image"].permute(1, 2, 0).numpy(), one["label"][0].numpy() > 0) for one in made]


def _diameter_px(disc: np.ndarray) -> float:
    return float(np.sqrt(4 * disc.sum() / np.pi))


def test_the_disc_is_as_large_as_in_a_full_photograph(
    loaded: LoadedCases, retinas: list[np.ndarray]
) -> None:
    for image, disc in _made(loaded, retinas, "disc"):
        assert image.shape == (SIDE_PX, SIDE_PX, 3)
        assert 0.02 < _diameter_px(disc) / SIDE_PX < 0.32  # some are cut off at the field's edge


def test_the_disc_that_is_labelled_is_the_bright_one(
    loaded: LoadedCases, retinas: list[np.ndarray]
) -> None:
    brighter = []
    for image, disc in _made(loaded, retinas, "disc", count=12):
        green = image[..., 1].astype(float)
        around = np.zeros_like(disc)
        rows, cols = np.nonzero(disc)
        reach = max(np.ptp(rows), np.ptp(cols)) // 2
        around[max(0, rows.min() - reach) : rows.max() + reach,
               max(0, cols.min() - reach) : cols.max() + reach] = True  # fmt: skip
        brighter.append(np.median(green[disc]) > np.median(green[around & ~disc]))
    assert np.mean(brighter) > 0.8


@pytest.mark.parametrize("recipe", ["no disc", "painted over"])
def test_some_photographs_hold_no_disc(
    loaded: LoadedCases, retinas: list[np.ndarray], recipe: str
) -> None:
    assert not any(disc.any() for _, disc in _made(loaded, retinas, recipe))


def test_regions_of_interest_are_shown_as_such(
    loaded: LoadedCases, retinas: list[np.ndarray]
) -> None:
    for image, disc in _made(loaded, retinas, "region"):
        assert _diameter_px(disc) / SIDE_PX > 0.3
        assert (image.max(axis=-1) > 0).mean() > 0.99  # no black surround


def test_a_picture_depends_on_its_seed_alone(
    loaded: LoadedCases, retinas: list[np.ndarray]
) -> None:
    composites = Composites(loaded, retinas, image_size=SIDE_PX)
    first = composites[Draw(1, 7)]
    composites[Draw(0, 8)]
    again, other = composites[Draw(1, 7)], composites[Draw(1, 9)]
    assert torch.equal(first["image"], again["image"])
    assert torch.equal(first["label"], again["label"])
    assert not torch.equal(first["image"], other["image"])


def test_a_drawn_retina_has_no_disc(retinas: list[np.ndarray]) -> None:
    middle = slice(CANVAS_PX // 2 - DISC_PX // 2, CANVAS_PX // 2 + DISC_PX // 2)
    near = slice(CANVAS_PX // 2 - 2 * DISC_PX, CANVAS_PX // 2 + 2 * DISC_PX)
    for retina in retinas:
        assert retina.shape == (CANVAS_PX, CANVAS_PX, 3)
        inside, around = retina[middle, middle, 1], retina[near, near, 1]
        assert np.percentile(inside, 90) < 1.15 * np.percentile(around, 90)


def test_a_disc_is_painted_over_in_the_colour_of_its_surroundings() -> None:
    phantom = draw_roi(STYLES["A"], np.random.default_rng(1), side_px=96)
    region = Region(phantom.image, phantom.disc)
    bare = paint_over(region)
    assert not bare.disc.any()
    green = region.image[..., 1].astype(float), bare.image[..., 1].astype(float)
    around = np.median(green[0][~phantom.disc])
    contrasts = [np.median(picture[phantom.disc]) / around for picture in green]
    assert contrasts[0] > 1.3
    assert contrasts[1] < 1.15
