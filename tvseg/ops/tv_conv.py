"""Translation-variant convolution (TVConv): a depthwise convolution with a kernel per pixel.

    out[b, c, i] = sum over taps t of W[c, t, i] * x[b, c, i*stride + t*dilation - padding]

with i running over output pixels, t over the k x k taps and padding = dilation*(k - 1)/2 zeros. W
does not depend on the image: W = B(A) with learned affinity maps A and a weight-generating block B.
`tv_conv2d` applies W; `TVConv2d` owns A and B and hands the function its W.

Source: Chen et al., TVConv: Efficient Translation Variant Convolution for Layout-aware Visual
Processing, CVPR 2022, section 3.2, equations (2) and (4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from tvseg.ops.alignment import Alignment, convolve_each
from tvseg.ops.checks import check_call, check_maps, kernel_side, pair_of, step_of, whole_number
from tvseg.ops.custom_op import in_autocast_dtype, tv_conv2d_op
from tvseg.ops.dynamic_bias import DynamicBias
from tvseg.ops.export_form import tv_conv2d_plain
from tvseg.ops.frozen_weights import FrozenWeights
from tvseg.ops.geometry import output_size_of
from tvseg.ops.resize import resizer
from tvseg.ops.weight_generator import WeightGenerator, join_taps, split_taps

Steps = int | tuple[int, int]
"""One number for rows and columns, or twice the same, as nn.Conv2d keeps it."""


def tv_conv2d(x: Tensor, weight: Tensor, *, stride: Steps = 1, dilation: Steps = 1) -> Tensor:
    """Convolve every channel with another kernel at every output pixel.

    Sums are taken in float32 or wider and rounded once. Under autocast both arguments are brought
    to the autocast dtype first (float64 is left alone). Differentiable once in x and weight; only
    these two are kept for the backward pass. A NaN or Inf pixel reaches the outputs whose kernel
    covers it and no others.

    Args:
        x: input maps (B, C, H, W); channels_last and contiguous maps keep their memory format.
        weight: kernels (C, k*k, Ho, Wo) with odd k, taps row by row, Ho = ceil(H / stride) and
            Wo = ceil(W / stride), in x's dtype, or in bfloat16 beside float32 maps to save memory.
            Not copied where channels (columns, beside contiguous maps) are adjacent in memory, as
            those of `TVConv2d.weight` are in x's memory format.
        stride: step between the input pixels under neighbouring output pixels; or two equal steps.
        dilation: step between neighbouring taps, in input pixels; or two equal steps.

    Returns:
        Output maps (B, C, Ho, Wo) in x's (or the autocast) dtype.

    Raises:
        ValueError: if the shapes, dtypes, stride or dilation do not fit each other.

    Source:
        Chen et al., CVPR 2022, section 3.2, equation (2).
    """
    check_maps(x)
    return _convolve(x, weight, step_of("stride", stride), step_of("dilation", dilation))


def _convolve(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Apply weights to maps whose axes are checked; see `tv_conv2d`."""
    x, weight = in_autocast_dtype(x, weight)
    check_call(x, weight, stride)
    if torch.compiler.is_exporting():
        return tv_conv2d_plain(x, weight, stride, dilation)
    out: Tensor = tv_conv2d_op(x, weight, stride, dilation)
    return out


class TVConv2d(nn.Module):
    """TVConv with its affinity maps and weight generator, for maps of one size.

    The weights are generated in every forward pass, until `freeze` keeps a copy. The copy is
    dropped by train(), load_state_dict(), and whatever moves or casts the module (.to(), .half(),
    ...). It is not used once a parameter was changed in place, by an optimiser or a moving average;
    fused optimisers, .data and another parameter in a parameter's position go unnoticed, and
    compiled graphs notice nothing. A deep copy of a frozen module is frozen; no file ever holds
    the copy: freeze a module again after torch.load.

    Args:
        channels: channels C of input and output.
        output_size: (height, width), or one int for both, of the output map.
        kernel_size: side k of the kernels, odd; or two equal sides.
        stride: step between the input pixels under neighbouring output pixels; or two equal steps.
        dilation: step between neighbouring taps, in input pixels; or two equal steps.
        bias: whether to add a learned map (C, height, width), zero at first.
        affinity_channels: number of affinity maps.
        hidden_channels: channels inside the weight generator.
        hidden_layers: hidden blocks of the weight generator after its first.
        resize: what happens when an output map has another size: "error" raises, "bilinear"
            resamples the generated weights (and the bias) to it.
        generator_padding: what the weight generator's convolutions see beyond the border of their
            maps: "zeros" as published, which tell positions near the border apart, or "replicate".
        dynamic_bias: whether to add a bias that depends on the image, see
            :class:`tvseg.ops.dynamic_bias.DynamicBias`; zero at first.
        align: whether to move the weights for each image by an affine map of positions, see
            :class:`tvseg.ops.alignment.Alignment`; the identity at first.

    Raises:
        ValueError: if an argument is of another type or out of its range, or resize or
            generator_padding is unknown.

    Source:
        Chen et al., CVPR 2022, section 3.2; affinity maps start at 1 as in section 4.1.
    """

    def __init__(
        self,
        channels: int,
        output_size: int | tuple[int, int],
        *,
        kernel_size: Steps = 3,
        stride: Steps = 1,
        dilation: Steps = 1,
        bias: bool = False,
        affinity_channels: int = 4,
        hidden_channels: int = 64,
        hidden_layers: int = 3,
        resize: str = "error",
        generator_padding: str = "zeros",
        dynamic_bias: bool = False,
        align: bool = False,
    ) -> None:
        super().__init__()
        if generator_padding not in ("zeros", "replicate"):
            raise ValueError(
                f'generator_padding must be "zeros" or "replicate", got {generator_padding!r}'
            )
        self.channels = whole_number("channels", channels)
        self.output_size = pair_of("output_size", output_size)
        self.kernel_size = kernel_side(kernel_size)
        self.stride, self.dilation = step_of("stride", stride), step_of("dilation", dilation)
        self.resize, self._resizer = resize, resizer(resize)
        maps = whole_number("affinity_channels", affinity_channels)
        self.affinity = nn.Parameter(torch.ones(maps, *self.output_size))
        self.bias = nn.Parameter(torch.zeros(self.channels, *self.output_size)) if bias else None
        self.generator = WeightGenerator(
            self.channels,
            self.output_size,
            kernel_size=self.kernel_size,
            affinity_channels=maps,
            hidden_channels=whole_number("hidden_channels", hidden_channels),
            hidden_layers=whole_number("hidden_layers", hidden_layers, least=0),
            padding_mode="replicate" if generator_padding == "replicate" else "zeros",
        )
        self.dynamic_bias = DynamicBias(self.channels) if dynamic_bias else None
        self.alignment = Alignment(self.channels) if align else None
        self.frozen_weights = FrozenWeights()

    @property
    def frozen(self) -> bool:
        """Return whether a copy of the weights is kept that is no older than the parameters."""
        return bool(self.frozen_weights)

    @property
    def frozen_bytes(self) -> int:
        """Return the bytes of the kept copies, at every size."""
        return self.frozen_weights.nbytes

    def weight(self) -> Tensor:
        """Return the weights for maps of `output_size`: generated, or the frozen copy.

        Returns:
            (C, k*k, height, width), taps row by row; not contiguous.
        """
        if self.frozen_weights:
            return self.frozen_weights.weight
        generated: Tensor = self.generator(self.affinity)
        return generated

    def forward(self, x: Tensor) -> Tensor:
        """Generate the weights and apply them.

        Args:
            x: input maps (B, C, H, W).

        Returns:
            Output maps (B, C, Ho, Wo).

        Raises:
            ValueError: if x does not fit the module, or its size does not and resize is "error".
        """
        check_maps(x)
        size = output_size_of((x.shape[2], x.shape[3]), self.stride)
        if self.frozen_weights:
            weight = self.frozen_weights.copy_for(x, size, self._resample)
        else:
            weight = self.generator(self.affinity)
            weight = weight if size == self.output_size else self._resample(weight, size)
        if self.alignment is None:
            out = _convolve(x, weight, self.stride, self.dilation)
        else:
            check_call(*in_autocast_dtype(x, weight), self.stride)
            out = convolve_each(
                x,
                self.alignment(x, weight),
                kernel_size=self.kernel_size,
                stride=self.stride,
                dilation=self.dilation,
            )
        if self.dynamic_bias is not None:
            out = out + self.dynamic_bias(x, size).to(out.dtype)
        if self.bias is None:
            return out
        bias: Tensor = self.bias
        if size != self.output_size:
            bias = self._resizer(bias.unsqueeze(0), size).squeeze(0)
        return out + bias.to(out.dtype)

    def begin_as(self, kernels: Tensor) -> None:
        """Generate, to begin with, the kernels of a depthwise convolution at every pixel.

        The layer then computes what that convolution does, exactly where the generator's hidden
        maps allow, else by least squares, and trains on from there. The affinity maps and the
        generator's other layers stay; a kept copy of the weights is dropped.

        Args:
            kernels: (C, 1, k, k), the weight of the convolution.

        Raises:
            ValueError: if the kernels are of another shape.
        """
        shape = (self.channels, 1, self.kernel_size, self.kernel_size)
        if tuple(kernels.shape) != shape:
            raise ValueError(f"kernels must have shape {shape}, got {tuple(kernels.shape)}")
        self.unfreeze()
        self.generator.fit(self.affinity, kernels.flatten(1))

    def freeze(self, dtype: torch.dtype | None = None) -> Self:
        """Generate the weights now and use this copy until it is dropped (see the class).

        Copies for other sizes and memory formats of the maps, and for few images or many, are made
        at their first use; the last four are kept.

        Args:
            dtype: of the copy, autocast or not: None for the parameters', or torch.bfloat16 for
                half the memory of float32; maps and sums stay float32 then.

        Returns:
            The module itself.

        Raises:
            ValueError: if the module is in training mode, or bfloat16 does not fit its parameters.
        """
        given = self.affinity.dtype
        if dtype not in (None, given) and (given, dtype) != (torch.float32, torch.bfloat16):
            raise ValueError(
                f"freeze(dtype) must be None, the parameters' {given}, or torch.bfloat16 beside "
                f"float32 parameters, got {dtype}"
            )
        if self.training:
            raise ValueError(
                "freeze() is for inference, this module is training: call eval() first"
            )
        self.frozen_weights.keep(
            lambda: self.generator(self.affinity).to(given if dtype is None else dtype),
            (self.affinity, *self.generator.parameters()),
        )
        return self

    def unfreeze(self) -> Self:
        """Drop the copies of the weights.

        Returns:
            The module itself.
        """
        self.frozen_weights.drop()
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; training drops the frozen weights."""
        if mode:
            self.unfreeze()
        return super().train(mode)

    def extra_repr(self) -> str:
        """Return the arguments that shape the operator."""
        return (
            f"{self.channels}, output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, dilation={self.dilation}, resize={self.resize!r}"
        )

    def _resample(self, weight: Tensor, size: tuple[int, int]) -> Tensor:
        joined = join_taps(weight).to(torch.promote_types(weight.dtype, self.affinity.dtype))
        return split_taps(self._resizer(joined, size).to(weight.dtype), self.channels)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.unfreeze()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it bare
        return self

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self.unfreeze()
        super()._load_from_state_dict(*arguments)
