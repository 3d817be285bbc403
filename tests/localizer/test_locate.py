import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tvseg.data.geometry import Box
from tvseg.data.normalisation import Normalisation
from tvseg.data.phantoms.draw import draw_field
from tvseg.data.phantoms.style import STYLES
from tvseg.errors import UserError
from tvseg.localizer.card import Calibration, LocalizerCard
from tvseg.localizer.checkpoint import load_localizer
from tvseg.localizer.locate import MAX_FRAMING, Localizer, Location
from tvseg.models.array_network import ArrayNetwork
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.folder import RunFolder

CARD = LocalizerCard(
    run="dense-holdout-A-seed0",
    holdout="A",
    fingerprint="0",
    framing=1.8,
    image_size=128,
    encoder="mobilenet_v2_320",
    calibration=Calibration(slope=1.0, offset=0.0),
    normalisation=Normalisation(),
    seed=0,
)


class GreenParts(nn.Module):
    """Says disc where green is above 0.2 (normalised to -1 ... 1), at a quarter of the size."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d((x[:, 1:2] - 0.2) * 10, 4)


class UpperLeft(nn.Module):
    """Says disc in the upper left corner of the map, whatever it sees."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.full_like(F.avg_pool2d(x[:, :1], 4), -9.0)
        logits[..., :5, :5] = 9.0
        return logits


def _localizer(framing: float = 1.8, network: nn.Module | None = None) -> Localizer:
    on_arrays = ArrayNetwork(
        network or GreenParts(), normalisation=CARD.normalisation, device=torch.device("cpu")
    )
    return Localizer(on_arrays, CARD.model_copy(update={"framing": framing}))


def _spot(
    row: float, col: float, diameter: float, *, size: tuple[int, int] = (300, 400)
) -> np.ndarray:
    """A photograph: a dim field with surround and a green disc."""
    rows, cols = np.indices(size)
    image = np.zeros((*size, 3), np.uint8)
    middle = (size[0] - 1) / 2, (size[1] - 1) / 2
    image[np.hypot(rows - middle[0], cols - middle[1]) < min(size) * 0.49] = 60
    image[np.hypot(rows - row, cols - col) < diameter / 2, 1] = 230
    return image


def _middle(window: Box | None) -> tuple[float, float]:
    assert window is not None
    return window.row + (window.side - 1) / 2, window.col + (window.side - 1) / 2


def test_the_window_is_about_the_disc_and_framed_as_the_card_says() -> None:
    (found,) = _localizer().locate([_spot(170, 230, 50)])
    assert found.kind == "field"
    assert found.confidence > 0.9
    assert _middle(found.window) == pytest.approx((170, 230), abs=3)
    assert found.window is not None
    assert found.window.side == pytest.approx(1.8 * 50, rel=0.15)


@pytest.mark.parametrize("framing", [1.3, 2.4])
def test_another_framing_gives_another_side(framing: float) -> None:
    (found,) = _localizer(framing).locate([_spot(170, 230, 50)])
    assert found.window is not None
    assert found.window.side == pytest.approx(framing * 50, rel=0.15)


def test_a_framing_is_clipped() -> None:
    (wide,), (widest,) = (
        _localizer(framing).locate([_spot(170, 230, 50)]) for framing in (MAX_FRAMING, 4.0)
    )
    assert wide.window == widest.window


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


def test_a_network_that_says_nan_finds_no_disc() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.avg_pool2d(x[:, :1], 4) * torch.nan

    (found,) = _localizer(network=Broken()).locate([_spot(170, 230, 50)])
    assert found.window is None


def test_a_sighting_beyond_the_photograph_is_brought_into_it() -> None:
    (found,) = _localizer(network=UpperLeft()).locate(
        [np.full((300, 200, 3), 90, np.uint8)]
    )  # looked at as a square
    assert found.window is not None
    assert _middle(found.window)[1] == pytest.approx(0, abs=1)
    assert found.window.cut(np.ones((300, 200), bool)).any()


def test_a_region_of_interest_is_told_by_its_disc_and_its_lit_corners() -> None:
    region = np.full((200, 200, 3), 60, np.uint8)
    rows, cols = np.indices((200, 200))
    disc = np.hypot(rows - 90, cols - 110)
    region[disc < 45] = 230
    small = np.full((200, 200, 3), 60, np.uint8)
    small[disc < 20] = 230  # a photograph cropped within its field
    roi, cropped = _localizer().locate([region, small])
    assert (roi.kind, roi.window) == ("roi", Box.frame(region))
    assert roi.confidence > 0.9
    assert cropped.kind == "field"
    assert _middle(cropped.window) == pytest.approx((90, 110), abs=4)


def test_a_run_gives_its_localiser_with_its_own_framing(localised_run: RunFolder) -> None:
    localizer = Localizer.from_run(localised_run.path, "cpu")
    assert localizer.card == load_localizer(localised_run.localizer)[1]
    field = draw_field(STYLES["A"], np.random.default_rng(0), side_px=160).image
    first, again = (localizer.locate([field])[0] for _ in range(2))
    assert first == again
    assert 0 <= first.confidence <= 1


def test_a_run_without_a_localiser_says_how_to_make_one(
    localised_run: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))
    run.localizer.unlink()
    with pytest.raises(ValueError, match=r"make it with 'tvseg train-localizer .*run --data ROOT'"):
        Localizer.from_run(run.path, "cpu")


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
    save_weights(run.localizer, network, card.model_copy(update=change))
    with pytest.raises(ValueError, match=what):
        Localizer.from_run(run, "cpu")


def test_a_damaged_file_is_refused(localised_run: RunFolder, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))
    run.localizer.write_bytes(run.localizer.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"is damaged .* run 'tvseg train-localizer'"):
        Localizer.from_run(run, "cpu")
    shutil.copy(run.best, run.localizer)
    with pytest.raises(UserError, match="holds a network for segmentation, not for localizer"):
        Localizer.from_run(run, "cpu")
