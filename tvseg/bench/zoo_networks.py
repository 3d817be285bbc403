"""The networks of the zoo: every operator of the paper in every backbone and width."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tvseg.models.backbones import mlp_mixer, mobilenet_v2, shufflenet_v2
from tvseg.models.spatial import operator_names

CONVOLUTIONAL: dict[str, tuple[Callable[..., nn.Module], tuple[float, ...]]] = {
    "MobileNetV2": (mobilenet_v2, (0.1, 0.2, 0.3, 0.5, 1.0)),
    "ShuffleNetV2": (shufflenet_v2, (0.5, 1.0, 1.5)),
}
MIXER = "MLP-Mixer"
MIXERS = ((64, 4, 16), (128, 8, 16), (64, 4, 8), (128, 4, 8), (128, 8, 8))
"""Width of a token, blocks, side of a patch."""


@dataclass(frozen=True)
class ZooNetwork:
    """One network of the zoo.

    Args:
        backbone: A key of :data:`CONVOLUTIONAL`, or :data:`MIXER`.
        size: Factor of the channels, or (width, blocks, patch) of a Mixer.
        operator: A name of :mod:`tvseg.models.spatial`; ``mlp`` for a Mixer.
    """

    backbone: str
    size: float | tuple[int, int, int]
    operator: str

    @property
    def width(self) -> str:
        """Return the size as text, such as ``0.5`` or ``64x4/16``."""
        if isinstance(self.size, tuple):
            dim, blocks, patch = self.size
            return f"{dim}x{blocks}/{patch}"
        return f"{self.size:g}"

    def build(self) -> nn.Module:
        """Build the network in train mode, its weights drawn with a seed."""
        torch.manual_seed(0)
        if isinstance(self.size, tuple):
            dim, blocks, patch = self.size
            return mlp_mixer(dim, blocks, patch_size=patch)
        builder, _ = CONVOLUTIONAL[self.backbone]
        return builder(self.size, operator=self.operator)


def entries(*, quick: bool = False) -> list[ZooNetwork]:
    """List the networks: every operator in every backbone and width, and Mixers.

    Args:
        quick: Only the narrowest of each backbone.
    """
    count = 1 if quick else None
    convolutional = [
        ZooNetwork(backbone, width, operator)
        for backbone, (_, widths) in CONVOLUTIONAL.items()
        for width in widths[:count]
        for operator in operator_names()
    ]
    return convolutional + [ZooNetwork(MIXER, size, "mlp") for size in MIXERS[:count]]
