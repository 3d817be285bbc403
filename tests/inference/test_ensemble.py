import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from tests.inference.drawn import ENCODING, draw_field, make_network
from tvseg.data.centres import MaskEncoding
from tvseg.data.images import resize_image
from tvseg.inference import pipeline
from tvseg.inference.pipeline import Ensemble


class Says(nn.Module):
    """The same logit of both structures, everywhere or on the left half only."""

    def __init__(self, logit: float, *, left_only: bool = False) -> None:
        super().__init__()
        self.logit = logit
        self.left_only = left_only

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        said = torch.full((len(x), 2, *x.shape[2:]), self.logit)
        if self.left_only:
            said[..., x.shape[-1] // 2 :] = -self.logit
        return said


REGIONS = [draw_field(80, 40, 30, 15), draw_field(100, 20, 70, 15)]


def _prepared(side_px: int) -> np.ndarray:
    return np.stack([resize_image(region, side_px) for region in REGIONS])


def test_one_view_is_the_predictor_itself() -> None:
    network = make_network()
    opinion = Ensemble([network])(REGIONS)
    assert opinion.disagreement is None
    assert (opinion.logits == network(_prepared(64))).all()


def test_probabilities_are_averaged_and_their_spread_told() -> None:
    logits = [float(torch.logit(torch.tensor(p))) for p in (0.9, 0.5, 0.1, 0.9)]
    opinion = Ensemble([make_network(Says(logit)) for logit in logits])(REGIONS)
    assert expit(opinion.logits) == pytest.approx(0.6, abs=1e-6)
    assert opinion.disagreement is not None
    assert opinion.disagreement == pytest.approx(np.std([0.9, 0.5, 0.1, 0.9]), abs=1e-6)


def test_networks_may_see_different_sizes() -> None:
    opinion = Ensemble([make_network(image_size=32), make_network(image_size=64)])(REGIONS)
    assert opinion.logits.shape == (2, 2, 64, 64)
    small = make_network(image_size=32)(_prepared(32))
    assert ((opinion.logits > 0)[:, :, ::2, ::2] == (small > 0)).mean() > 0.97


def test_mirrored_views_come_back_unmirrored() -> None:
    alike = Ensemble([make_network()], mirror=True)(REGIONS)  # colour knows no left and right
    assert alike.disagreement is not None
    assert alike.disagreement.max() < 1e-6
    assert ((alike.logits > 0) == (make_network()(_prepared(64)) > 0)).all()
    biased = Ensemble([make_network(Says(9.0, left_only=True))], mirror=True)(REGIONS)
    assert np.abs(biased.logits).max() < 1e-4
    assert biased.disagreement is not None
    assert biased.disagreement.min() > 0.49


def test_members_must_agree_in_structures() -> None:
    other = MaskEncoding({0: (), 1: ("disc",), 2: ("cup", "disc")}, ("cup", "disc"))
    with pytest.raises(ValueError, match="must agree in structures and encoding"):
        Ensemble([make_network(), make_network(encoding=other)])


def test_members_must_agree_in_what_is_scattered() -> None:
    scattered = MaskEncoding(ENCODING.values, ENCODING.structures, scattered=("cup",))
    for pair in ((ENCODING, scattered), (scattered, ENCODING)):
        with pytest.raises(ValueError, match="scattered cup"):
            Ensemble([make_network(encoding=encoding) for encoding in pair])


def test_regions_are_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    resize = pipeline.resize_image

    def watch(image: np.ndarray, side_px: int) -> np.ndarray:
        sizes.append(side_px)
        return resize(image, side_px)

    monkeypatch.setattr(pipeline, "resize_image", watch)
    Ensemble([make_network(), make_network(), make_network(image_size=32)], mirror=True)(REGIONS)
    assert sorted(sizes) == [32, 32, 64, 64]
