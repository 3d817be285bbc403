"""ShuffleNetV2 as the paper uses it for faces: torchvision's with a stem of stride 1 and our head.

Source: TVConv, section 4.1 and its published code; ShuffleNetV2 (arXiv:1807.11164).
"""

from collections import OrderedDict
from collections.abc import Collection

from torch import nn
from torchvision.models import ShuffleNetV2

from tvseg.errors import UsageError
from tvseg.models.backbones.embedder import Embedder, with_operator
from tvseg.models.spatial import SpatialOperator

CHANNELS = {
    0.5: (24, 48, 96, 192, 1024),
    1.0: (24, 116, 232, 464, 1024),
    1.5: (24, 176, 352, 704, 1024),
}
"""Channels of stem, stages and last 1x1 convolution by width."""
PARTS = ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5")


def shufflenet_v2(
    width: float = 1.0,
    *,
    operator: str | SpatialOperator = "depthwise",
    stages: Collection[int] | None = None,
    image_size: int | tuple[int, int] = 96,
    embedding: int = 512,
    kernel_size: int | None = None,
) -> Embedder:
    """Build ShuffleNetV2 with an operator in place of its 19 depthwise convolutions.

    Args:
        width: 0.5, 1.0 or 1.5.
        operator: A name of :mod:`tvseg.models.spatial`, or a function called as those there.
        stages: Stages 1 to 3 that get the operator; ``None`` for all, for attention the last two.
        image_size: Side or (height, width) in px of the images that the operator is made for.
        embedding: Width of the embeddings.
        kernel_size: Side of the operator's kernels; ``None`` for 3.

    Returns:
        The network in train mode: (B, 3, H, W) -> (B, embedding).

    Raises:
        UsageError: An unknown width, operator or stage.
    """
    if width not in CHANNELS:
        raise UsageError(f"width must be one of {', '.join(map(str, CHANNELS))}, got {width}")
    network = ShuffleNetV2([4, 8, 4], list(CHANNELS[width]))
    network.conv1[0].stride = (1, 1)
    features = nn.Sequential(OrderedDict((name, getattr(network, name)) for name in PARTS))
    return with_operator(
        Embedder(features, CHANNELS[width][-1], embedding),
        operator,
        blocks=[["stage2"], ["stage3"], ["stage4"]],
        late=2,
        stages=stages,
        image_size=image_size,
        kernel_size=kernel_size,
    )
