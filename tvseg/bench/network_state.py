"""Networks brought into the state in which they are measured."""

import torch
from torch import Tensor, nn

from tvseg.ops import TVConv2d


def settled(network: nn.Module, images: Tensor) -> nn.Module:
    """Draw affinity maps, and give batch norms the statistics of images.

    Maps and weights are of ordinary size then: errors show, and no number is denormal.

    Args:
        network: In train mode.
        images: (B, 3, H, W), B of at least 2.

    Returns:
        The network itself, in train mode.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for layer in network.modules():
        if isinstance(layer, TVConv2d):
            nn.init.normal_(layer.affinity)
    for norm in norms:
        norm.momentum = 1.0  # the statistics of this one batch
    with torch.no_grad():
        network(images)
    for norm in norms:
        norm.momentum = 0.1
    return network


def freeze_in(network: nn.Module, layout: torch.memory_format) -> int:
    """Bring a network into a memory format and freeze its TVConv layers.

    Returns:
        Bytes that the kept weights take.
    """
    network.to(memory_format=layout)
    layers = [module for module in network.modules() if isinstance(module, TVConv2d)]
    return sum(layer.freeze().frozen_bytes for layer in layers)
