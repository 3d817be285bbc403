"""Weights that a training begins with must not have seen the centre that it holds out."""

from pathlib import Path

import pytest
from torch import nn

from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.first import FirstWeights
from tvseg.runs.segmentation import network_of

KEYS = ["encoder_weights=none", "image_size=64", "aspp=dense"]
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
def test_others_are_taken_silently(trained: str, now: str, keys: list[str]) -> None:
    first = _trained(trained, *keys)
    first.check_unseen(SETTINGS, now, "f00d")
    assert not first.doubts(SETTINGS, now)


def test_a_centre_is_known_by_its_folder() -> None:
    other = load_settings(None, [*KEYS, "centres.A.folder=./Domain2/", "centres.B.folder=Domain1"])
    with pytest.raises(UserError, match="on photographs of A: "):
        _trained("A").check_unseen(other, "A", "f00d")
    _trained("A").check_unseen(other, "B", "f00d")


def test_centres_in_the_same_folders_of_other_data_are_doubted() -> None:
    first = _trained("A")
    first.check_unseen(SETTINGS, "B", "beef")
    (doubt,) = first.doubts(SETTINGS, "B")
    assert "the same folders of centres (B): if these are the same photographs" in doubt


@pytest.mark.parametrize("phantoms", [0, 1])
def test_what_weights_began_with_is_checked_as_well(phantoms: int, tmp_path: Path) -> None:
    file = tmp_path / "none.safetensors"
    save_weights(file, network_of(SETTINGS, pretrained=False), _trained("none").card)
    first = _trained("A", f"init={file}", f"phantoms={phantoms}")
    message = rf"began with {file}, which was trained with holdout none, on photographs of A"
    with pytest.raises(UserError, match=message):
        first.check_unseen(SETTINGS, "A", "f00d")
    assert len(first.doubts(SETTINGS, "A")) == 1
    file.unlink()
    first.check_unseen(SETTINGS, "A", "f00d")
    (doubt,) = first.doubts(SETTINGS, "A")
    assert doubt.endswith(f"begun with {file}, which is not there to be checked")
    assert not first.doubts(SETTINGS, "none")


def test_a_checkpoint_that_took_the_place_of_its_first_weights_is_no_loop(tmp_path: Path) -> None:
    file = tmp_path / "again.safetensors"
    trained = _trained("A", f"init={file}")
    save_weights(file, network_of(SETTINGS, pretrained=False), trained.card)
    assert not trained.doubts(SETTINGS, "A")
