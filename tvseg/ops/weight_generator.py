"""The weight-generating block B of TVConv: affinity maps in, a kernel per channel and pixel out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightGenerator(nn.Module):
    """W = B(A): (1 + hidden_layers) times [conv 3x3, layer norm, ReLU], then conv 3x3.

    No convolution has a bias; each pads by one pixel. Layer norm runs over channels, height and
    width together, so a generator belongs to one map size. The last convolution's channels are
    tap-major (channel t*channels + c is tap t of channel c): the weights of one tap are then
    adjacent in memory, and in channels_last where the generator's parameters are.

    Args:
        channels: channels C of the maps that the weights are applied to.
        output_size: (height, width) of the weights.
        kernel_size: side k of the kernels, odd.
        affinity_channels: number of affinity maps.
        hidden_channels: channels of the hidden layers.
        hidden_layers: hidden blocks after the first.
        padding_mode: "zeros" or "replicate", what lies beyond the maps' border.

    Source:
        Chen et al., TVConv, CVPR 2022, section 3.2, equation (4).
    """

    def __init__(
        self,
        channels: int,
        output_size: tuple[int, int],
        *,
        kernel_size: int,
        affinity_channels: int,
        hidden_channels: int,
        hidden_layers: int,
        padding_mode: Literal["zeros", "replicate"] = "zeros",
    ) -> None:
        super().__init__()
        self.channels = channels

        def convolution(incoming: int, outgoing: int) -> nn.Module:
            return nn.Conv2d(
                incoming, outgoing, 3, padding=1, bias=False, padding_mode=padding_mode
            )

        layers: list[nn.Module] = []
        for incoming in [affinity_channels, *[hidden_channels] * hidden_layers]:
            layers += [
                convolution(incoming, hidden_channels),
                nn.LayerNorm([hidden_channels, *output_size]),
                nn.ReLU(inplace=True),
            ]
        layers.append(convolution(hidden_channels, channels * kernel_size**2))
        self.layers = nn.Sequential(*layers)
        self._sharing = False
        self._shared: tuple[Tensor, Tensor] | None = None  # as generated, and the leaf in use

    def forward(self, affinity: Tensor) -> Tensor:
        """Generate the weights.

        Args:
            affinity: affinity maps A (affinity_channels, height, width).

        Returns:
            (C, k*k, height, width), taps row by row; a view of tap-major memory.
        """
        if not (self._sharing and torch.is_grad_enabled()):
            return self._generate(affinity)
        if self._shared is None:
            generated = self._generate(affinity)
            if not generated.requires_grad:  # of a layer that is not trained
                return generated
            wide = torch.promote_types(generated.dtype, torch.float32)  # for sums of gradients
            self._shared = generated, generated.detach().to(wide).requires_grad_()
        return self._shared[1]

    @torch.no_grad()
    def fit(self, affinity: Tensor, kernels: Tensor) -> None:
        """Change the last convolution as little as it takes to generate these kernels everywhere.

        Exact where the hidden maps allow, else by least squares.

        Args:
            affinity: affinity maps A (affinity_channels, height, width).
            kernels: (C, k*k), taps row by row.
        """
        exact: dict[str, Any] = {"device": "cpu", "dtype": torch.float64}  # not every device has it
        last = cast(nn.Conv2d, self.layers[-1])
        hidden = deepcopy(self.layers[:-1]).to(**exact)(affinity.to(**exact).unsqueeze(0))
        mode = "constant" if last.padding_mode == "zeros" else "replicate"
        seen = F.unfold(F.pad(hidden, (1, 1, 1, 1), mode=mode), 3)[0]  # (hidden_channels*9, pixels)
        inverse = torch.linalg.pinv(seen, rtol=1e-4)  # keeps weights small, of 16-bit layers too
        weight = last.weight.to(**exact).flatten(1)
        weight = weight - weight @ (seen @ inverse)  # without what the pixels see of it
        weight += torch.outer(kernels.T.to(**exact).flatten(), inverse.sum(0))
        last.weight.copy_(weight.view_as(last.weight))

    def begin_sharing(self) -> None:
        """Generate once from now on, for all passes; see shared_weights.

        Raises:
            ValueError: if the weights are being shared already.
        """
        if self._sharing:
            raise ValueError("shared_weights must not be entered twice for the same network")
        self._sharing = True

    def end_sharing(self) -> tuple[Tensor, Tensor] | None:
        """Generate in every pass again.

        Returns:
            The weights as generated and the sum of their gradients, if there was a backward pass.
        """
        shared, self._sharing, self._shared = self._shared, False, None
        if shared is None:
            return None
        generated, gradient = shared[0], shared[1].grad
        return None if gradient is None else (generated, gradient.to(generated.dtype))

    def _generate(self, affinity: Tensor) -> Tensor:
        maps: Tensor = self.layers(affinity.unsqueeze(0))  # (1, k*k*C, height, width)
        return split_taps(maps, self.channels)


@contextmanager
def shared_weights(network: nn.Module) -> Iterator[None]:
    """Generate weights once for all passes of a step whose batch is computed in parts.

    Every generator runs in the first forward pass within. Its weights serve the later ones too;
    their gradients are added up in float32 or wider and sent through the generator once, on
    leaving. Only then do generators and affinity maps have gradients. Nothing is sent when an
    error ends the block::

        with shared_weights(network):
            for part in parts:
                (loss_of(network(part)) / len(parts)).backward()
        optimizer.step()

    Args:
        network: any module; its WeightGenerators are found within it.

    Raises:
        ValueError: if one of them is sharing already.
    """
    generators = [module for module in network.modules() if isinstance(module, WeightGenerator)]
    begun: list[WeightGenerator] = []
    try:
        for generator in generators:
            generator.begin_sharing()
            begun.append(generator)
        yield
    finally:
        ended = [generator.end_sharing() for generator in begun]
    used = [pair for pair in ended if pair is not None]
    if used:
        torch.autograd.backward(
            [generated for generated, _ in used], [gradient for _, gradient in used]
        )


def split_taps(maps: Tensor, channels: int) -> Tensor:
    """View tap-major maps as weights.

    Args:
        maps: (1, k*k*C, height, width), map t*C + c is tap t of channel c.
        channels: C.

    Returns:
        (C, k*k, height, width), a view.
    """
    return maps.view(-1, channels, *maps.shape[2:]).transpose(0, 1)


def join_taps(weight: Tensor) -> Tensor:
    """View weights as tap-major maps, the inverse of `split_taps`.

    Args:
        weight: (C, k*k, height, width).

    Returns:
        (1, k*k*C, height, width), a view where the weight is tap-major in memory.
    """
    return weight.transpose(0, 1).flatten(0, 1).unsqueeze(0)
