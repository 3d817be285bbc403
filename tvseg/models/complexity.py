"""Multiply-accumulates of a network, by two counts."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(network: nn.Module, example: Tensor) -> int:
    """Count the products of convolutions, linear layers and matrix products.

    Args:
        network: In eval mode; frozen, or the weight generators of TVConv are counted.
        example: Images (B, C, H, W).

    Returns:
        Multiply-accumulates of one forward pass of the whole batch.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(example)
    flops: int = counter.get_total_flops()
    return flops // 2


def count_macs_as_published(network: nn.Module, example: Tensor) -> int:
    """Count as the paper did, with ptflops before version 0.7.

    To :func:`count_macs` this adds the biases of linear layers, twice the outputs of batch norms,
    the outputs of ReLU and ReLU6, and the inputs of pooling layers.

    Args:
        network: In eval mode and frozen.
        example: Images (B, C, H, W).
    """
    extra = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal extra
        if isinstance(layer, nn.Linear):
            extra += output.numel() if layer.bias is not None else 0
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            extra += 2 * output.numel()
        elif isinstance(layer, nn.ReLU | nn.ReLU6):
            extra += output.numel()
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            extra += inputs[0].numel()

    handles = [layer.register_forward_hook(add) for layer in network.modules()]
    try:
        return count_macs(network, example) + extra
    finally:
        for handle in handles:
            handle.remove()
