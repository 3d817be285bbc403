"""Weights that a training begins with must not have seen the centre that it holds out."""

import pytest
from torch import nn

from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.first import FirstWeights

KEYS = ["encoder_weights=none", "image_size=64"]
SETTINGS = load_settings(None, KEYS)


def _trained(holdout: str, *overrides: str) -> FirstWeights:
    """Weights of a training on the data ``f00d``."""
    card = SegmentationCard(
        settings=load_settings(None, [*KEYS, *overrides]), holdout=holdout, fingerprint="f00d",
        epoch=1, chosen="last epoch", normalisation=Normalisation(),
    )  # fmt: skip
    return FirstWeights("first.safetensors", nn.Identity(), card)


@pytest.mark.parametrize(
    ("trained", "now", "seen"), [("A", "B", "B"), ("none", "D", "D"), ("A", "A+C", "C")]
)
def test_weights_that_have_seen_the_unseen_centre_are_refused(
    trained: str, now: str, seen: str
) -> None:
    message = rf"init=first\.safetensors .* holdout {trained}, on photographs of {seen}: "
    with pytest.raises(UserError, match=message):
        _trained(trained).check_unseen(SETTINGS, now, "f00d")


@pytest.mark.parametrize(
    ("trained", "now", "keys"),
    [
        ("A", "A", []),
        ("A", "none", []),
        ("A+B", "B", []),
        ("none", "B", ["phantoms=1"]),
        ("none", "B", ["centres.B.folder=elsewhere"]),
    ],
)
def test_others_are_taken_silently(
    trained: str, now: str, keys: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tvseg")
    _trained(trained, *keys).check_unseen(SETTINGS, now, "f00d")
    assert not caplog.text


def test_centres_of_the_same_name_in_other_data_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _trained("A").check_unseen(SETTINGS, "B", "beef")
    assert "centres of the same name (B): if these are the same photographs" in caplog.text
