"""New statistics for batch normalisation, from images without labels."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def refresh_batch_norm(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Replace running means and variances by the averages over some batches.

    All other layers compute as in evaluation: no dropout, and weights that are kept stay. The
    network is left in evaluation mode.

    Args:
        network: On the device of the batches.
        batches: Inputs of the network, at least one batch; all count the same.
    """
    layers = [layer for layer in network.eval().modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average over batches
        layer.train()
    try:
        for batch in batches:
            network(batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
