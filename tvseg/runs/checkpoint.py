"""Checkpoints that rebuild their network alone, and load strictly or not at all."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

import tvseg
from tvseg.config import parse_settings
from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.files import write_bytes
from tvseg.models import TVDeepLabV3Plus, build_model
from tvseg.runs.starter import STARTER
from tvseg.settings import SegmentationSettings

METADATA_KEY = "tvseg"

WIDE_BRANCHES = "decoder.aspp.wide."
"""Where the networks of two variants differ."""


@dataclass(frozen=True)
class Card:
    """What a checkpoint says of itself, beside its weights.

    Attributes:
        settings: The settings of its run.
        holdout: The centre that it has not seen, or ``none``.
        fingerprint: Of the data it was trained on.
        epoch: Epoch at whose end the weights were taken, counted from 1.
        chosen: How this epoch was chosen, in words.
        normalisation: Of the network's input.
        version: Version of tvseg that wrote it.
    """

    settings: SegmentationSettings
    holdout: str
    fingerprint: str
    epoch: int
    chosen: str
    normalisation: Normalisation
    version: str = tvseg.__version__

    def to_json(self) -> str:
        """The card as one line of JSON."""
        tree = {name: getattr(self, name) for name in ("holdout", "fingerprint", "epoch", "chosen")}
        tree["settings"] = self.settings.model_dump(mode="json")
        tree["normalisation"] = asdict(self.normalisation)
        tree["version"] = self.version
        return json.dumps(tree)

    @staticmethod
    def from_json(text: str) -> "Card":
        """The card that :meth:`to_json` wrote."""
        tree = json.loads(text)
        settings = parse_settings(tree.pop("settings"))
        normalisation = Normalisation(**tree.pop("normalisation"))
        return Card(settings=settings, normalisation=normalisation, **tree)


def network_of(settings: SegmentationSettings, *, pretrained: bool) -> TVDeepLabV3Plus:
    """The network that settings describe, its encoder pretrained as they say or left random."""
    return build_model(
        aspp=settings.aspp,
        aspp_dilation=settings.aspp_dilation,
        encoder=settings.encoder,
        encoder_weights=settings.encoder_weights if pretrained else "none",
        image_size=settings.image_size,
        classes=len(settings.structures),
    )


def save_weights(path: Path, network: nn.Module, card: Card) -> None:
    """Write weights and card as a ``.safetensors`` file."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    write_bytes(path, save(state, metadata={METADATA_KEY: card.to_json()}))


def save_training(path: Path, network: nn.Module, card: Card, state: Mapping[str, Any]) -> None:
    """Write weights, card and all that training needs to go on, as a ``.pt`` file."""
    buffer = io.BytesIO()
    torch.save({"card": card.to_json(), "network": network.state_dict(), **state}, buffer)
    write_bytes(path, buffer.getvalue())


def load_training(path: Path) -> dict[str, Any]:
    """Read what :func:`save_training` wrote; tensors are on the CPU.

    Raises:
        ValueError: Not such a file, or a damaged one.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        Card.from_json(content["card"])
    except Exception as error:  # pickle, zip, key, type and JSON errors: all say the same thing
        raise UserError(_not_ours(path, error)) from error
    return content


def load_network(path: Path) -> tuple[TVDeepLabV3Plus, Card]:
    """Rebuild a network from one file.

    Args:
        path: A ``.safetensors`` file of :func:`save_weights` or a ``.pt`` of
            :func:`save_training`.

    Returns:
        The network in eval mode on the CPU, and its card.

    Raises:
        ValueError: Not a checkpoint of tvseg, a damaged one, or one with weights that are not
            finite.
    """
    if path.suffix == ".pt":
        content = load_training(path)
        card, state = Card.from_json(content["card"]), content["network"]
    else:
        card, state = _read_safetensors(path)
    network = network_of(card.settings, pretrained=False)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(_not_ours(path, error)) from error
    bad = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise UserError(
            f"{path}: weights must be finite; {len(bad)} tensors hold NaN or Inf, first {bad[0]}"
        )
    return network.eval(), card


def start_from(network: nn.Module, source: str) -> int:
    """Load the weights of a trained network whose wide ASPP branches may be other operators.

    Args:
        network: To load into.
        source: ``starter``, or a checkpoint file.

    Returns:
        How many tensors keep their random values: those of the wide ASPP branches, if any.

    Raises:
        UserError: No such checkpoint, or one of another network.
    """
    path = STARTER if source == "starter" else Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"init must be starter or a checkpoint file; {path} does not exist")
    trained, state = load_network(path)[0].state_dict(), network.state_dict()
    fits = {
        name: value
        for name, value in trained.items()
        if name in state and state[name].shape == value.shape
    }
    other = [name for name in {*trained, *state} - {*fits} if not name.startswith(WIDE_BRANCHES)]
    if other:
        raise UserError(
            f"init={source}: the checkpoint must be of the same encoder and structures; "
            f"{len(other)} tensors differ, first {min(other)}"
        )
    network.load_state_dict(state | fits)
    return len(state) - len(fits)


def _read_safetensors(path: Path) -> tuple[Card, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            card = Card.from_json(file.metadata()[METADATA_KEY])
            return card, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(_not_ours(path, error)) from error


def _not_ours(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"{path} must be a checkpoint that 'tvseg train' wrote "
        f"({type(error).__name__}: {reason}); train again or fetch the file anew"
    )
