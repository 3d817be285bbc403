"""Checkpoints of segmentation networks."""

import logging
from pathlib import Path
from typing import Any

from torch import nn

from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.models import TVDeepLabV3Plus
from tvseg.models.encoder import pixel_statistics
from tvseg.runs.affinity import tv_conv_layers
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import Task
from tvseg.runs.starter import STARTER
from tvseg.settings import SegmentationSettings

_log = logging.getLogger("tvseg")

WIDE_BRANCHES = "decoder.aspp.wide."
"""Where the networks of two variants differ."""


def network_of(settings: SegmentationSettings, *, pretrained: bool) -> TVDeepLabV3Plus:
    """Build the network that settings describe, its encoder pretrained as they say or random."""
    network: TVDeepLabV3Plus = TVDeepLabV3Plus(
        settings.encoder,
        encoder_weights=settings.encoder_weights if pretrained else "none",
        classes=len(settings.structures),
        aspp=settings.aspp,
        aspp_dilation=settings.aspp_dilation,
        image_size=settings.image_size,
        **tvconv_options(settings),
    )
    return network


def tvconv_options(settings: SegmentationSettings) -> dict[str, Any]:
    """Return the arguments of the network by which TVConv layers differ from published ones."""
    kept = {"generator_padding", "dynamic_bias", "align"}
    return settings.tvconv.model_dump(include=kept, exclude_defaults=True)


SEGMENTATION = Task(
    SegmentationCard, lambda card: network_of(card.settings, pretrained=False), "tvseg train"
)
load_network = SEGMENTATION.load


def first_network(settings: SegmentationSettings) -> TVDeepLabV3Plus:
    """Return the network that a training begins with, but for affinity maps that settings set."""
    network = network_of(settings, pretrained=not settings.init)
    if settings.init:
        others = start_from(network, settings)
        rest = f"; {others} tensors, all of ASPP branches, are not taken from it"
        _log.info("Begins with init=%s%s", settings.init, rest if others else "")
    return network


def normalisation_of(settings: SegmentationSettings) -> Normalisation:
    """Return the normalisation that the first weights of a training expect."""
    if settings.init:
        return load_network(_first_weights(settings.init))[1].normalisation
    expected = pixel_statistics(settings.encoder, settings.encoder_weights)
    return Normalisation() if expected is None else Normalisation(*expected)


def start_from(network: nn.Module, settings: SegmentationSettings) -> int:
    """Load the weights of a trained network whose wide ASPP branches may have other operators.

    A layer of the branches begins anew as a whole where it is of another size.

    Args:
        network: To load into.
        settings: Of it; ``init`` is ``starter`` or a checkpoint file.

    Returns:
        How many tensors keep their first values: those of the wide ASPP branches, if any.

    Raises:
        UserError: No such checkpoint, or one of another network or other structures.
    """
    source = str(settings.init)
    loaded, card = load_network(_first_weights(source))
    for key in ("encoder", "structures"):
        ours, others = getattr(settings, key), getattr(card.settings, key)
        if ours != others:
            raise UserError(
                f"init={source}: the checkpoint must be of the same {key}, {_listed(ours)}; it is "
                f"of {_listed(others)}"
            )
    trained, state = loaded.state_dict(), network.state_dict()
    fits = {
        name: value
        for name, value in trained.items()
        if name in state and state[name].shape == value.shape
    }
    other = {*trained, *state} - {*fits}
    strange = [name for name in other if not name.startswith(WIDE_BRANCHES)]
    if strange:
        raise UserError(
            f"init={source}: the checkpoint must be of the same network; {len(strange)} tensors "
            f"differ, first {min(strange)}"
        )
    anew = {_layer_of(name) for name in other if name in trained and name in state}
    fits = {name: value for name, value in fits.items() if _layer_of(name) not in anew}
    network.load_state_dict(state | fits)
    return len(state) - len(fits)


def begin_as_trained(network: nn.Module, settings: SegmentationSettings) -> None:
    """Let TVConv layers generate the kernels of the trained depthwise ones of the same names.

    The network then computes what the trained one does, if it is dilated as that is. The kernels
    are fitted to the affinity maps that the layers have, so those must be set before.

    Args:
        network: Begun by :func:`start_from`.
        settings: Of it; ``init`` is ``starter`` or a checkpoint file.
    """
    trained = dict(load_network(_first_weights(str(settings.init)))[0].named_modules())
    begun = 0
    for name, layer in tv_conv_layers(network).items():
        convolution = trained.get(name)
        if isinstance(convolution, nn.Conv2d) and convolution.groups == layer.channels:
            layer.begin_as(convolution.weight)
            begun += 1
    if begun:
        _log.info("%d TVConv layers begin as its depthwise convolutions of the same names", begun)


def _listed(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _layer_of(name: str) -> tuple[str, ...]:
    """Return branch and layer of a tensor of a wide ASPP branch; of others, nothing."""
    parts = name.removeprefix(WIDE_BRANCHES).split(".")
    return tuple(parts[:2]) if name.startswith(WIDE_BRANCHES) else ()


def _first_weights(source: str) -> Path:
    path = STARTER if source == "starter" else Path(source).expanduser()
    if not path.is_file():
        raise UserError(f"init must be starter or a checkpoint file; {path} does not exist")
    return path
