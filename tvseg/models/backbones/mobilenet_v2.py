"""MobileNetV2 as the paper uses it for faces: torchvision's with three edits.

The stem has stride 1, the last 1x1 convolution 512 channels, and the head embeds.

Source: TVConv, section 4.1 and its published code; MobileNetV2 (arXiv:1801.04381).
"""

from collections.abc import Collection
from itertools import pairwise

from torch import nn
from torchvision.models import MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

from tvseg.models.backbones.embedder import Embedder, with_operator
from tvseg.models.spatial import SpatialOperator

FIRST_LAYERS = (1, 2, 4, 7, 11, 14, 17, 18)
"""First layer of stages S1 to S7, and the layer after them: L1 | L2-3 | L4-6 | ... | L17."""


def mobilenet_v2(
    width: float = 1.0,
    *,
    operator: str | SpatialOperator = "depthwise",
    stages: Collection[int] | None = None,
    image_size: int | tuple[int, int] = 96,
    embedding: int = 512,
    kernel_size: int | None = None,
) -> Embedder:
    """Build MobileNetV2 with an operator in place of its 17 depthwise convolutions.

    Args:
        width: Factor of the channels.
        operator: A name of :mod:`tvseg.models.spatial`, or a function called as those there.
        stages: Stages 1 to 7 that get the operator; ``None`` for all, for attention the last three.
        image_size: Side or (height, width) in px of the images that the operator is made for.
        embedding: Width of the embeddings.
        kernel_size: Side of the operator's kernels; ``None`` for 3.

    Returns:
        The network in train mode: (B, 3, H, W) -> (B, embedding).

    Raises:
        UsageError: An unknown operator or stage.
    """
    features = MobileNetV2(width_mult=width).features
    features[0][0].stride = (1, 1)
    last = 8 * round(64 * max(1.0, width))
    features[-1] = Conv2dNormActivation(
        features[-1][0].in_channels, last, 1, activation_layer=nn.ReLU6
    )
    return with_operator(
        Embedder(features, last, embedding),
        operator,
        blocks=[
            [str(layer) for layer in range(first, end)] for first, end in pairwise(FIRST_LAYERS)
        ],
        late=5,
        stages=stages,
        image_size=image_size,
        kernel_size=kernel_size,
    )
