"""From the plain values of a run to its network."""

from pathlib import Path

import torch
from torch import nn

from tvseg.models.deeplab import TVDeepLabV3Plus
from tvseg.models.encoder import check_encoder, check_hub_weights, load_encoder_weights
from tvseg.ops import TVConv2d


def build_model(
    *,
    aspp: str = "tvconv",
    aspp_dilation: str = "none",
    encoder: str = "mobilenet_v2_320",
    encoder_weights: str = "none",
    image_size: int = 256,
    classes: int = 2,
) -> TVDeepLabV3Plus:
    """Build one of the networks of the benchmark.

    Args:
        aspp: ``dense``, ``depthwise`` or ``tvconv``.
        aspp_dilation: ``none`` or ``atrous``.
        encoder: An encoder of segmentation_models_pytorch, or ``mobilenet_v2_320``.
        encoder_weights: ``none``, ``imagenet`` (from the model hub), or a file of weights.
        image_size: Side in px of the images that the network is made for.
        classes: Channels of the output, one a structure.

    Returns:
        The network in train mode: (B, 3, H, W) -> logits (B, classes, H, W).

    Raises:
        ValueError: An unknown name, or weights that cannot be had.
    """
    check_encoder(encoder)
    if encoder_weights == "imagenet":
        check_hub_weights(encoder)
    model: TVDeepLabV3Plus = TVDeepLabV3Plus(
        encoder,
        encoder_weights="imagenet" if encoder_weights == "imagenet" else None,
        classes=classes,
        aspp=aspp,
        aspp_dilation=aspp_dilation,
        image_size=image_size,
    )
    if encoder_weights not in ("none", "imagenet"):
        load_encoder_weights(model.encoder, Path(encoder_weights).expanduser())
    return model


def freeze(network: nn.Module, dtype: torch.dtype | None = None) -> int:
    """Generate the weights of every TVConv layer now and keep them, for inference.

    Args:
        network: Any network, in eval mode; see :meth:`tvseg.ops.TVConv2d.freeze` for how long
            the weights are kept.
        dtype: Of the kept weights: None for the parameters', ``torch.bfloat16`` for half of it.

    Returns:
        Bytes that the kept weights take.

    Raises:
        ValueError: The network is in train mode.
    """
    layers = [module for module in network.modules() if isinstance(module, TVConv2d)]
    return sum(layer.freeze(dtype).frozen_bytes for layer in layers)
