"""Features and an embedding head: what the paper's convolutional backbones share."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from tvseg.errors import UsageError
from tvseg.models.replace import replace_depthwise
from tvseg.models.spatial import SPATIAL, SpatialOperator
from tvseg.ops import TVConv2d


class Embedder(nn.Module):
    """Embed images: (B, 3, H, W) -> (B, embedding).

    The head is batch norm, average pooling, a linear layer with bias and batch norm.

    Args:
        features: Images to maps.
        channels: Channels of these maps.
        embedding: Width of the embeddings.
    """

    def __init__(self, features: nn.Module, channels: int, embedding: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, embedding),
            nn.BatchNorm1d(embedding),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, embedding)."""
        embedded: Tensor = self.head(self.features(x))
        return embedded


def with_operator(
    backbone: Embedder,
    operator: str | SpatialOperator,
    *,
    blocks: Sequence[Sequence[str]],
    late: int,
    stages: Collection[int] | None,
    image_size: int | tuple[int, int],
    kernel_size: int | None,
) -> Embedder:
    """Put an operator into stages of a backbone, and draw the weights as the paper does.

    Convolutions are drawn kaiming-normal over their fan-out, TVConv's generators included, linear
    layers normal with standard deviation 0.01; biases are 0, norms 1 and 0. The other operators
    keep the start that they draw themselves.

    Args:
        backbone: With depthwise convolutions.
        operator: A name of :mod:`tvseg.models.spatial`, or a function called as those there.
        blocks: Names of the blocks of each stage, ``S1`` first.
        late: First stage of operators that are meant for small maps.
        stages: Stages that get the operator, from 1 on; ``None`` for all, or from ``late`` on.
        image_size: Side or (height, width) of the images in px.
        kernel_size: Side of the operator's kernels; ``None`` for the depthwise convolutions'.

    Raises:
        UsageError: An unknown operator, or a stage that the backbone does not have.
    """
    if stages is None:
        small_maps = getattr(SPATIAL.get(str(operator), operator), "for_small_maps", False)
        stages = range(late if small_maps else 1, len(blocks) + 1)
    if not stages or not set(stages) <= set(range(1, len(blocks) + 1)):
        raise UsageError(f"stages must be among 1 to {len(blocks)}, got {sorted(stages)}")
    _draw(backbone)
    if operator != "depthwise" or kernel_size is not None:
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        starts = tuple(f"features.{name}." for stage in stages for name in blocks[stage - 1])
        replace_depthwise(
            backbone,
            operator,
            example=torch.zeros(1, 3, *size),
            where=lambda name, _: name.startswith(starts),
            kernel_size=kernel_size,
        )
    for layer in backbone.modules():
        if isinstance(layer, TVConv2d):
            _draw(layer)
    return backbone


def _draw(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.ones_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
