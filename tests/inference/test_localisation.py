import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tvseg.data.phantom import Phantom, draw_field, draw_retina, draw_roi
from tvseg.data.phantom_style import STYLES
from tvseg.data.tensors import Normalisation
from tvseg.data.window import Window
from tvseg.inference.localisation import MAX_FRAMING, Localizer, Location
from tvseg.training.localizer_checkpoint import (
    Calibration,
    LocalizerCard,
    load_localizer,
    save_localizer,
)
from tvseg.training.run_folder import RunFolder

CPU = torch.device("cpu")
CARD = LocalizerCard(
    run="dense-holdout-A-seed0",
    holdout="A",
    fingerprint="0",
    framing=1.8,
    image_size=128,
    encoder="mobilenet_v2_320",
    calibration=Calibration(1.0, 0.0),
    normalisation=Normalisation(),
    seed=0,
)


class GreenParts(nn.Module):
    """Says disc where green is above 0.2 (normalised to -1 ... 1), at a quarter of the size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d((x[:, 1:2] - 0.2) * 10, 4)


class RedParts(nn.Module):
    """Says disc where red is above 0.2, and nothing of the cup."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.full_like(x[:, :1], -9.0), (x[:, :1] - 0.2) * 10], dim=1)


def _localizer(framing: float = 1.8) -> Localizer:
    return Localizer(
        GreenParts(),
        replace(CARD, framing=framing),
        segmenter=RedParts(),
        segmenter_size=64,
        segmenter_normalisation=Normalisation(),
        device=CPU,
    )


def _spot(
    row: float, col: float, diameter: float, *, shift: float = 0, size: tuple[int, int] = (300, 400)
) -> np.ndarray:
    """A photograph: a dim field with surround, a green disc, and a red one a shift to the right."""
    rows, cols = np.indices(size)
    image = np.zeros((*size, 3), np.uint8)
    middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    image[np.hypot(rows - middle[0], cols - middle[1]) < min(size) * 0.49] = 60
    image[np.hypot(rows - row, cols - col) < diameter / 2, 1] = 230
    image[np.hypot(rows - row, cols - col - shift) < diameter / 2, 0] = 230
    return image


def _middle(window: Window | None) -> tuple[float, float]:
    assert window is not None
    return window.row + (window.side - 1) / 2, window.col + (window.side - 1) / 2


def test_the_window_is_about_the_disc_and_framed_as_the_card_says() -> None:
    (found,) = _localizer().locate([_spot(170, 230, 50)])
    assert found.kind == "field"
    assert found.confidence > 0.9
    assert _middle(found.window) == pytest.approx((170, 230), abs=3)
    assert found.window is not None
    assert found.window.side == pytest.approx(1.8 * 50, rel=0.08)


@pytest.mark.parametrize("framing", [1.3, 2.4])
def test_another_framing_gives_another_side(framing: float) -> None:
    (found,) = _localizer(framing).locate([_spot(170, 230, 50)])
    assert found.window is not None
    assert found.window.side == pytest.approx(framing * 50, rel=0.08)


def test_a_framing_is_clipped() -> None:
    (wide,), (widest,) = (
        _localizer(framing).locate([_spot(170, 230, 50)]) for framing in (MAX_FRAMING, 4.0)
    )
    assert wide.window == widest.window


def test_the_second_look_sets_the_window_right() -> None:
    (found,) = _localizer().locate([_spot(170, 230, 50, shift=12)])
    assert _middle(found.window) == pytest.approx((170, 242), abs=3)


def test_a_second_look_at_something_else_is_not_heeded() -> None:
    (found,) = _localizer().locate([_spot(170, 190, 50, shift=45)])
    assert _middle(found.window) == pytest.approx((170, 190), abs=4)


def test_photographs_of_all_sizes_make_one_batch() -> None:
    images = [
        _spot(170, 230, 50),
        _spot(100, 90, 30, size=(200, 180)),
        _spot(400, 600, 120, size=(900, 1100)),
    ]
    together = _localizer().locate(images)
    alone = [_localizer().locate([image])[0] for image in images]
    assert [location.window for location in together] == [location.window for location in alone]
    assert _localizer().locate([]) == []


def test_a_photograph_without_a_disc_is_reported() -> None:
    (found,) = _localizer().locate([_spot(170, 230, 0)])
    assert found == Location(None, pytest.approx(0.0, abs=0.3), "field")
    assert found.confidence < 0.5


def test_a_region_of_interest_is_told_by_its_disc_and_its_lit_corners() -> None:
    region = np.full((200, 200, 3), 60, np.uint8)
    rows, cols = np.indices((200, 200))
    disc = np.hypot(rows - 90, cols - 110)
    region[disc < 45] = 230
    small = np.full((200, 200, 3), 60, np.uint8)
    small[disc < 20] = 230  # a photograph cropped within its field
    roi, cropped = _localizer().locate([region, small])
    assert (roi.kind, roi.window) == ("roi", None)
    assert roi.confidence > 0.9
    assert cropped.kind == "field"
    assert _middle(cropped.window) == pytest.approx((90, 110), abs=4)


def test_a_trained_localiser_finds_the_disc_of_a_centre_it_has_not_seen(
    localised_run: RunFolder,
) -> None:
    localizer = Localizer.from_run(localised_run, CPU)
    style = STYLES["A"]
    fields = [draw_field(style, np.random.default_rng(n), side_px=320) for n in range(6)]
    found = localizer.locate([field.image for field in fields])
    assert sum(_holds(one, field) for one, field in zip(found, fields, strict=True)) >= 5
    assert all(one.kind == "field" for one in found)
    bare = [
        _with_surround(draw_retina(style, np.random.default_rng(n), side_px=320, radius_px=22))
        for n in range(6)
    ]
    empty = localizer.locate(bare)
    assert sum(one.window is None for one in empty) >= 5
    regions = [draw_roi(style, np.random.default_rng(n), side_px=128).image for n in range(6)]
    assert sum(one.kind == "roi" for one in localizer.locate(regions)) >= 5


def _holds(location: Location, field: Phantom) -> bool:
    if location.window is None:
        return False
    return bool(location.window.cut(field.disc).sum() > 0.9 * field.disc.sum())


def _with_surround(image: np.ndarray) -> np.ndarray:
    rows, cols = np.indices(image.shape[:2]) - (len(image) - 1) / 2
    dark = image.copy()
    dark[np.hypot(rows, cols) > 0.49 * len(image)] = 0
    return dark


def test_a_run_without_a_localiser_says_how_to_make_one(
    localised_run: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))
    run.localizer.unlink()
    with pytest.raises(ValueError, match=r"make it with 'tvseg train-localizer .*run --data ROOT'"):
        Localizer.from_run(run.path, CPU)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"holdout": "B"}, "hold-out is B, the run's is A"),
        ({"run": "tvconv-holdout-A-seed0"}, "run is tvconv-holdout-A-seed0"),
        ({"fingerprint": "abc"}, "data is abc"),
    ],
)
def test_a_localiser_of_another_run_is_refused(
    localised_run: RunFolder, tmp_path: Path, change: dict[str, str], what: str
) -> None:
    run = RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))
    network, card = load_localizer(run.localizer)
    save_localizer(run.localizer, network, replace(card, **change))
    with pytest.raises(ValueError, match=what):
        Localizer.from_run(run, CPU)


def test_a_damaged_file_is_refused(localised_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))
    run.localizer.write_bytes(run.localizer.read_bytes()[:5000])
    with pytest.raises(ValueError, match="must be a file that 'tvseg train-localizer' wrote"):
        Localizer.from_run(run, CPU)
    shutil.copy(run.best, run.localizer)
    with pytest.raises(ValueError, match="must be a file that 'tvseg train-localizer' wrote"):
        Localizer.from_run(run, CPU)
