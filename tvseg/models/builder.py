"""From plain values to a network."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from tvseg.models.deeplab import TVDeepLabV3Plus


def build_model(
    *,
    aspp: str = "tvconv",
    aspp_dilation: str = "none",
    encoder: str = "mobilenet_v2_320",
    encoder_weights: str = "none",
    image_size: int | Sequence[int] = 256,
    classes: int = 2,
    generator_padding: str = "zeros",
    dynamic_bias: bool = False,
    align: bool = False,
) -> TVDeepLabV3Plus:
    """Build a network from the values of a run's settings.

    Args:
        aspp: ``dense`` or a name of :data:`tvseg.models.spatial.SPATIAL`.
        aspp_dilation: ``none`` or ``atrous``.
        encoder: An encoder of segmentation_models_pytorch, or ``mobilenet_v2_320``.
        encoder_weights: ``none``, ``imagenet`` (from the model hub), or a file of weights.
        image_size: Side or (height, width) in px of the images that the network is made for.
        classes: Channels of the output, one a structure.
        generator_padding: Of ``tvconv``: ``zeros`` or ``replicate``.
        dynamic_bias: Of ``tvconv``: whether to add a bias that depends on the image.
        align: Of ``tvconv``: whether to move the kernels' layout for each image.

    Returns:
        The network in train mode: (B, 3, H, W) -> logits (B, classes, H, W).

    Raises:
        UserError: An unknown name, or weights that are missing or of another network.
    """
    network: TVDeepLabV3Plus = TVDeepLabV3Plus(
        encoder,
        encoder_weights=encoder_weights,
        classes=classes,
        aspp=aspp,
        aspp_dilation=aspp_dilation,
        image_size=image_size,
        generator_padding=generator_padding,
        dynamic_bias=dynamic_bias,
        align=align,
    )
    return network


@runtime_checkable
class Freezable(Protocol):
    """A layer that can keep what it computes from its parameters alone."""

    def freeze(self, dtype: torch.dtype | None = None) -> object:
        """Keep the weights, in a dtype."""

    @property
    def frozen_bytes(self) -> int:
        """Return the memory of what is kept."""


def freeze(network: nn.Module, dtype: torch.dtype | None = None) -> int:
    """Freeze every layer that can be frozen, for inference, with the network in channels_last.

    In this memory format TVConv's compiled loops serve the layers, and convolutions are faster too.

    Args:
        network: Any network, in eval mode; see :meth:`tvseg.ops.TVConv2d.freeze` for how long
            the weights are kept.
        dtype: Of the kept weights: None for the parameters', ``torch.bfloat16`` for half of it.

    Returns:
        Bytes that the kept weights take.

    Raises:
        ValueError: The network is in train mode.
    """
    network.to(memory_format=torch.channels_last)
    layers = [module for module in network.modules() if isinstance(module, Freezable)]
    for layer in layers:
        layer.freeze(dtype)
    return sum(layer.frozen_bytes for layer in layers)
