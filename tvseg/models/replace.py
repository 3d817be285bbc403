"""Another spatial operator in place of a network's depthwise convolutions."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.errors import UserError
from tvseg.models.spatial import POINTWISE, SpatialOperator, spatial_operator
from tvseg.ops import TVConv2d

Where = str | Collection[int] | Callable[[str, nn.Conv2d], bool]
"""A pattern of module names, strides of the map in the network, or a predicate."""


@dataclass(frozen=True)
class _Call:
    """What one forward pass shows of a convolution."""

    size: tuple[int, int]  # of the input map
    stride: int  # of the output map in the network
    plain: bool  # pads evenly by zeros and filters with its weight as it is


def replace_depthwise(
    network: nn.Module,
    operator: str | SpatialOperator = "tvconv",
    *,
    example: Tensor,
    where: Where | None = None,
    kernel_size: int | None = None,
) -> nn.Module:
    """Replace depthwise convolutions of any network by another spatial operator, in place.

    ``tvconv`` starts as the convolution that it replaces, with the same weights at every position
    and the same bias, where the kernel size stays; other operators start from drawn weights.
    ``dyconv_pw`` replaces dense 1x1 convolutions instead of depthwise ones.

        network = torchvision.models.mobilenet_v2(weights="DEFAULT")
        replace_depthwise(network, "tvconv", example=torch.zeros(1, 3, 224, 224), where=[16, 32])

    Args:
        network: Any module that takes one batch of images.
        operator: A name of :mod:`tvseg.models.spatial`, or a function called as those there.
        example: Images (B, C, H, W) of the size in use: one forward pass in eval mode shows the
            size of every map.
        where: Which convolutions, all by default: a pattern of module names such as
            ``"features.1?.*"``, strides of the output map in the network such as ``[16, 32]``, or
            a function (name, convolution) -> bool.
        kernel_size: Side of the new kernels; ``None`` for that of each replaced convolution.

    Returns:
        The network.

    Raises:
        UserError: No convolution is selected, or one cannot be replaced.
        UsageError: An unknown operator.
    """
    make = _maker(operator, kernel_size)
    kind, fits = ("1x1", _is_pointwise) if operator in POINTWISE else ("depthwise", _is_depthwise)
    convolutions = {name: module for name, module in network.named_modules() if fits(module)}
    calls = _observe(network, convolutions, example)
    chosen = {
        name: conv for name, conv in convolutions.items() if _selects(where, name, conv, calls)
    }
    if not chosen:
        raise UserError(
            f"no convolution to replace: the network has {len(convolutions)} {kind} "
            f"convolutions{_examples(convolutions)} and where={where!r} selects none"
        )
    _check(chosen, calls, kind)
    layers = {name: make(conv, calls[name].size) for name, conv in chosen.items()}
    for name, layer in layers.items():  # all or none: making one may fail
        conv = chosen[name]
        layer.to(conv.weight.device, conv.weight.dtype).train(conv.training)
        network.set_submodule(name, layer)
    return network


def _maker(
    operator: str | SpatialOperator, kernel_size: int | None
) -> Callable[[nn.Conv2d, tuple[int, int]], nn.Module]:
    """Return a function (convolution, size of its input map) -> the layer in its stead."""
    if isinstance(operator, str) and operator in POINTWISE:
        pointwise = POINTWISE[operator]
        return lambda conv, _: pointwise(conv.in_channels, conv.out_channels)
    spatial = spatial_operator(operator) if isinstance(operator, str) else operator
    return lambda conv, size: _spatial_layer(spatial, conv, size, kernel_size)


def _spatial_layer(
    operator: SpatialOperator, conv: nn.Conv2d, size: tuple[int, int], kernel_size: int | None
) -> nn.Module:
    layer = operator(
        conv.in_channels,
        size=size,
        kernel_size=kernel_size or conv.kernel_size[0],
        stride=conv.stride[0],
        dilation=conv.dilation[0],
    )
    if isinstance(layer, TVConv2d) and layer.kernel_size == conv.kernel_size[0]:
        _start_from(layer, conv)
    return layer


@torch.no_grad()
def _start_from(layer: TVConv2d, conv: nn.Conv2d) -> None:
    """Let the generator give a convolution's weights at every position.

    The last layer norm gives 1 everywhere and the last convolution adds up w / hidden over its
    hidden channels at its centre tap. The norm's scale is 0: it and the last convolution receive
    gradients at once, the layers before as soon as the scale has changed. That is exact for maps of
    any size and takes no fit; TVConv2d.begin_as keeps the generator's other layers as they are.
    """
    norm = cast(nn.LayerNorm, layer.generator.layers[-3])
    last = cast(nn.Conv2d, layer.generator.layers[-1])
    norm.weight.zero_()
    norm.bias.fill_(1.0)
    taps = conv.weight.flatten(1).t().flatten()  # (T * C,), tap-major
    last.weight.zero_()
    last.weight[:, :, 1, 1] = taps.unsqueeze(1) / last.in_channels
    if conv.bias is not None:
        maps = conv.bias[:, None, None].expand(-1, *layer.output_size)
        layer.bias = nn.Parameter(maps.clone())


def _is_depthwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(module, nn.Conv2d)
        and 1 < module.groups == module.in_channels == module.out_channels
        and module.kernel_size != (1, 1)
    )


def _is_pointwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        isinstance(module, nn.Conv2d)
        and module.groups == 1
        and module.kernel_size == module.stride == (1, 1)
    )


def _observe(
    network: nn.Module, convolutions: dict[str, nn.Conv2d], example: Tensor
) -> dict[str, _Call]:
    """Run one forward pass in eval mode and note every call of the convolutions."""
    calls: dict[str, _Call] = {}

    def note(name: str, conv: nn.Conv2d) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            (x,) = inputs
            size = (x.shape[2], x.shape[3])
            plain = _is_plain(conv, x) and (name not in calls or calls[name].size == size)
            calls[name] = _Call(size, round(example.shape[2] / output.shape[2]), plain)

        return hook

    modes = {module: module.training for module in network.modules()}
    handles = [conv.register_forward_hook(note(name, conv)) for name, conv in convolutions.items()]
    try:
        with torch.no_grad():
            network.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return calls


def _is_plain(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether a convolution pads and filters as spatial operators do, on maps of x's size."""
    k, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
    square = (conv.kernel_size, conv.stride, conv.dilation) == (
        (k, k),
        (stride,) * 2,
        (dilation,) * 2,
    )
    if not square or k % 2 == 0:
        return False
    draws = torch.Generator().manual_seed(0)
    probe = torch.rand(1, *x.shape[1:], generator=draws).to(x)
    padding = dilation * (k - 1) // 2
    plain = F.conv2d(probe, conv.weight, conv.bias, stride, padding, dilation, conv.groups)
    output = conv.forward(probe)
    if plain.shape != output.shape or plain.is_meta:  # of a network without memory for weights
        return plain.shape == output.shape
    return bool(torch.allclose(plain, output, atol=1e-5))


def _selects(where: Where | None, name: str, conv: nn.Conv2d, calls: dict[str, _Call]) -> bool:
    if where is None:
        return True
    if isinstance(where, str):
        return fnmatchcase(name, where)
    if isinstance(where, Collection):
        return name in calls and calls[name].stride in where
    return where(name, conv)


def _check(chosen: dict[str, nn.Conv2d], calls: dict[str, _Call], kind: str) -> None:
    if unseen := [name for name in chosen if name not in calls]:
        raise UserError(
            f"the example does not reach {len(unseen)} of the selected {kind} "
            f"convolutions{_examples(unseen)}: leave them out with where"
        )
    if odd := [name for name in chosen if not calls[name].plain]:
        raise UserError(
            f"{len(odd)} of the selected {kind} convolutions cannot be replaced{_examples(odd)}: "
            "they need a square kernel of odd side, the same stride and dilation both ways, zero "
            "padding that is the same on every side, and maps of one size; leave them out with "
            "where"
        )


def _examples(names: Collection[str]) -> str:
    return f" ({', '.join(list(names)[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
