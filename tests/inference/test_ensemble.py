import numpy as np
import pytest
import torch
from torch import nn

from tests.inference.drawn import draw_field, make_predictor
from tvseg.data.centres import MaskEncoding
from tvseg.inference.ensemble import Ensemble


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


def test_one_view_is_the_predictor_itself() -> None:
    predictor = make_predictor()
    opinion = Ensemble([predictor])(REGIONS)
    assert opinion.disagreement is None
    assert torch.equal(opinion.logits, predictor.batch_logits(REGIONS))


def test_probabilities_are_averaged_and_their_spread_told() -> None:
    logits = [float(torch.logit(torch.tensor(p))) for p in (0.9, 0.5, 0.1, 0.9)]
    opinion = Ensemble([make_predictor(Says(logit)) for logit in logits])(REGIONS)
    assert opinion.logits.sigmoid().numpy() == pytest.approx(0.6, abs=1e-6)
    assert opinion.disagreement is not None
    assert opinion.disagreement.numpy() == pytest.approx(np.std([0.9, 0.5, 0.1, 0.9]), abs=1e-6)


def test_networks_may_see_different_sizes() -> None:
    opinion = Ensemble([make_predictor(image_size=32), make_predictor(image_size=64)])(REGIONS)
    assert opinion.logits.shape == (2, 2, 64, 64)
    small = make_predictor(image_size=32).batch_logits(REGIONS)
    assert ((opinion.logits > 0)[:, :, ::2, ::2] == (small > 0)).float().mean() > 0.97


def test_mirrored_views_come_back_unmirrored() -> None:
    alike = Ensemble([make_predictor()], mirror=True)(REGIONS)  # colour knows no left and right
    assert alike.disagreement is not None
    assert alike.disagreement.max() < 1e-6
    assert ((alike.logits > 0) == (make_predictor().batch_logits(REGIONS) > 0)).all()
    biased = Ensemble([make_predictor(Says(9.0, left_only=True))], mirror=True)(REGIONS)
    assert biased.logits.abs().max() < 1e-4
    assert biased.disagreement is not None
    assert biased.disagreement.min() > 0.49


def test_members_must_agree_in_structures() -> None:
    other = make_predictor()
    other.encoding = MaskEncoding({0: (), 1: ("disc",), 2: ("cup", "disc")}, ("cup", "disc"))
    with pytest.raises(ValueError, match="must agree in structures and encoding"):
        Ensemble([make_predictor(), other])
