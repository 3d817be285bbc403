"""The spatial operators by name: `SPATIAL` is the one list of them.

A spatial operator filters maps in space and keeps their number. Networks of this package take it as
an argument; settings and commands name it.
"""

from collections.abc import Callable
from typing import Protocol

from torch import nn

from tvseg.errors import UsageError
from tvseg.models.operators.axial import AxialAttention
from tvseg.models.operators.condconv import CondConv
from tvseg.models.operators.ddf import DecoupledDynamicFilter
from tvseg.models.operators.dynamic_conv import DynamicDepthwise, DynamicPointwise
from tvseg.models.operators.involution import Involution
from tvseg.models.operators.sasa import StandAloneSelfAttention
from tvseg.models.operators.weightnet import WeightNet
from tvseg.ops import TVConv2d
from tvseg.plugins import OPERATORS, load_plugin, plugin_names


class SpatialOperator(Protocol):
    """What a name of `SPATIAL` stands for."""

    def __call__(
        self,
        channels: int,
        *,
        size: tuple[int, int],
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ) -> nn.Module:
        """Make a layer (B, channels, H, W) -> (B, channels, ceil(H / stride), ceil(W / stride)).

        Args:
            channels: Channels of the maps.
            size: (height, width) of the input maps; operators that need no size ignore it.
            kernel_size: Side of the kernel or neighbourhood, odd.
            stride: Step between the input pixels under neighbouring output pixels.
            dilation: Step between neighbouring taps, in input pixels.
        """


def depthwise(
    channels: int,
    *,
    size: tuple[int, int],
    kernel_size: int = 3,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Module:
    """Make a depthwise convolution without bias; see `SpatialOperator` for the arguments."""
    return nn.Conv2d(
        channels,
        channels,
        kernel_size,
        stride=stride,
        padding=dilation * (kernel_size - 1) // 2,
        dilation=dilation,
        groups=channels,
        bias=False,
    )


def tvconv(
    channels: int,
    *,
    size: tuple[int, int],
    kernel_size: int = 3,
    stride: int = 1,
    dilation: int = 1,
    affinity_channels: int = 4,
    hidden_channels: int = 64,
    hidden_layers: int = 3,
    generator_padding: str = "zeros",
    dynamic_bias: bool = False,
    align: bool = False,
) -> nn.Module:
    """Make a TVConv that resamples its weights for maps of another size than ``size``.

    See `SpatialOperator` for the first arguments and `TVConv2d` for those of its generator.
    """
    output_size = (-(-size[0] // stride), -(-size[1] // stride))
    return TVConv2d(
        channels,
        output_size,
        kernel_size=kernel_size,
        stride=stride,
        dilation=dilation,
        affinity_channels=affinity_channels,
        hidden_channels=hidden_channels,
        hidden_layers=hidden_layers,
        resize="bilinear",
        generator_padding=generator_padding,
        dynamic_bias=dynamic_bias,
        align=align,
    )


SPATIAL: dict[str, SpatialOperator] = {
    "depthwise": depthwise,
    "tvconv": tvconv,
    "condconv": CondConv,
    "weightnet": WeightNet,
    "dyconv_dw": DynamicDepthwise,
    "involution": Involution,
    "ddf": DecoupledDynamicFilter,
    "sasa": StandAloneSelfAttention,
    "axial": AxialAttention,
}

POINTWISE: dict[str, Callable[[int, int], nn.Module]] = {"dyconv_pw": DynamicPointwise}
"""Operators (in_channels, out_channels) that replace the 1x1 convolutions about a depthwise one."""


def operator_names() -> tuple[str, ...]:
    """Return the names of this package's operators, spatial ones first."""
    return *SPATIAL, *POINTWISE


def find_operator(name: str) -> SpatialOperator | None:
    """Return the spatial operator of a name, of this package or an installed plug-in."""
    if name in SPATIAL:
        return SPATIAL[name]
    operator: SpatialOperator | None = load_plugin(OPERATORS, name)
    return operator


def known_operators() -> str:
    """Return the names of all operators, those of plug-ins last, for messages."""
    return ", ".join([*operator_names(), *plugin_names(OPERATORS)])


def spatial_operator(name: str) -> SpatialOperator:
    """Return the spatial operator of a name.

    Raises:
        UsageError: There is none of this name; the message lists those that exist.
    """
    operator = find_operator(name)
    if operator is None:
        raise UsageError(f"operator must be one of {known_operators()}, got {name!r}")
    return operator
