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

from tvseg.ops.checks import check_call, check_maps, check_module, check_steps
from tvseg.ops.custom_op import forward_op, in_autocast_dtype
from tvseg.ops.export_form import tv_conv2d_plain
from tvseg.ops.frozen import changes_of, ordinary_tensors
from tvseg.ops.geometry import output_size_of
from tvseg.ops.kernels import kernel_for
from tvseg.ops.memory_layout import memory_format_of
from tvseg.ops.resize import resizer
from tvseg.ops.weight_generator import WeightGenerator, join_taps, split_taps

_RESIZED_KEPT = 4
"""Output sizes whose resampled weights a frozen module keeps (18 MB each at 1920 x 16 x 16)."""


def tv_conv2d(x: Tensor, weight: Tensor, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolve every channel with a kernel of its own at every output pixel.

    Sums are taken in float32 or wider and rounded once. Under autocast both arguments are brought
    to the autocast dtype first (float64 is left alone). Differentiable once in x and weight; only
    these two are kept for the backward pass. A NaN or Inf pixel reaches the outputs whose kernel
    covers it and no others.

    Args:
        x: input maps (B, C, H, W); channels_last and contiguous maps keep their memory format.
        weight: kernels (C, k*k, Ho, Wo) with odd k, taps row by row, Ho = ceil(H / stride) and
            Wo = ceil(W / stride), in x's dtype, or in bfloat16 beside float32 maps to save memory.
            Not copied where channels (columns, beside contiguous maps) lie together, as those of
            `TVConv2d.weight` do in x's memory format.
        stride: step between the input pixels under neighbouring output pixels.
        dilation: step between neighbouring taps, in input pixels.

    Returns:
        Output maps (B, C, Ho, Wo) in x's (or the autocast) dtype.

    Raises:
        ValueError: if the shapes, dtypes, stride or dilation do not fit each other.

    Source:
        Chen et al., CVPR 2022, section 3.2, equation (2).
    """
    x, weight = in_autocast_dtype(x), in_autocast_dtype(weight)
    check_call(x, weight, stride, dilation)
    if torch.compiler.is_exporting():
        return tv_conv2d_plain(x, weight, stride, dilation)
    out: Tensor = forward_op(x, weight, stride, dilation)
    return out


class TVConv2d(nn.Module):
    """TVConv with its affinity maps and weight generator, for maps of one size.

    The weights are generated in every forward pass, until `freeze` keeps a copy. The copy is
    dropped by train(), load_state_dict(), and whatever moves or casts the module (.to(), .half(),
    ...); it is never saved. It is not used once a parameter was changed in place, by an optimiser
    or a moving average; fused optimisers, .data and putting another parameter in a parameter's
    place go unnoticed, and compiled graphs notice nothing. A copy of a frozen module is frozen.

    Args:
        channels: channels C of input and output.
        output_size: (height, width), or one int for both, of the output map.
        kernel_size: side k of the kernels, odd.
        stride: step between the input pixels under neighbouring output pixels.
        dilation: step between neighbouring taps, in input pixels.
        bias: whether to add a learned map (C, height, width), zero at first.
        affinity_channels: number of affinity maps.
        hidden_channels: channels inside the weight generator.
        hidden_layers: hidden blocks of the weight generator after its first.
        resize: what happens when an output map has another size: "error" raises, "bilinear"
            resamples the generated weights (and the bias) to it.

    Raises:
        ValueError: if an argument is out of its range or resize is unknown.

    Source:
        Chen et al., CVPR 2022, section 3.2; affinity maps start at 1 as in section 4.1.
    """

    def __init__(
        self,
        channels: int,
        output_size: int | tuple[int, int],
        *,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
        affinity_channels: int = 4,
        hidden_channels: int = 64,
        hidden_layers: int = 3,
        resize: str = "error",
    ) -> None:
        super().__init__()
        size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        generator = {
            "affinity_channels": affinity_channels,
            "hidden_channels": hidden_channels,
            "hidden_layers": hidden_layers,
        }
        check_module(channels, size, kernel_size, **generator)
        check_steps(stride, dilation)
        self.channels, self.kernel_size = channels, kernel_size
        self.output_size: tuple[int, int] = (size[0], size[1])
        self.stride, self.dilation = stride, dilation
        self.resize, self._resizer = resize, resizer(resize)
        self.affinity = nn.Parameter(torch.ones(affinity_channels, *size))
        self.bias = nn.Parameter(torch.zeros(channels, *size)) if bias else None
        self.generator = WeightGenerator(
            channels, self.output_size, kernel_size=kernel_size, **generator
        )
        # Empty, not None, while not frozen: export and compilation follow tensors. No buffer:
        # moving averages copy buffers, and one of the two modules may be frozen.
        self.frozen_weight = torch.empty(0)
        self._resized: dict[tuple[int, int], Tensor] = {}
        self._laid_out_for: dict[tuple[int, int], torch.memory_format] = {}  # by output size
        self._made_from: list[tuple[Tensor, int]] = []  # parameters, and how often each was changed
        # torch leaves this method without annotations
        self.register_load_state_dict_post_hook(_unfreeze_after_load)  # type: ignore[no-untyped-call]

    @property
    def frozen(self) -> bool:
        """Whether a copy of the generated weights is kept, and no older than the parameters."""
        if self.frozen_weight.numel() == 0:
            return False
        return torch.compiler.is_compiling() or all(
            changes_of(parameter) == count for parameter, count in self._made_from
        )

    @property
    def frozen_bytes(self) -> int:
        """Memory of the kept copies, at every size."""
        return sum(kept.nbytes for kept in (self.frozen_weight, *self._resized.values()))

    def weight(self) -> Tensor:
        """The weights that are applied to maps of `output_size`: generated, or the frozen copy.

        Returns:
            (C, k*k, height, width), taps row by row; not contiguous.
        """
        if self.frozen:
            return self.frozen_weight
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
        weight = self._weight_of(size, x)
        out = tv_conv2d(x, weight, stride=self.stride, dilation=self.dilation)
        if self.bias is None:
            return out
        bias: Tensor = self.bias
        if size != self.output_size:
            bias = self._resizer(bias.unsqueeze(0), size).squeeze(0)
        return out + bias.to(out.dtype)

    def freeze(self, dtype: torch.dtype | None = None) -> Self:
        """Generate the weights now and use this copy until it is dropped (see the class).

        Weights resampled to another size are kept beside it from their first use on, for the last
        four sizes. The first maps have the copies laid out as their kernel reads them fastest; so
        does every change of their memory format.

        Args:
            dtype: of the copy, autocast or not: None for the parameters', or torch.bfloat16 for
                half the memory of float32; maps and sums stay float32 then.

        Returns:
            The module itself.

        Raises:
            ValueError: if the module is in training mode, or bfloat16 does not fit its parameters.
        """
        own = self.affinity.dtype
        if dtype not in (None, own) and (own, dtype) != (torch.float32, torch.bfloat16):
            raise ValueError(
                f"freeze(dtype) must be None, the parameters' {own}, or torch.bfloat16 beside "
                f"float32 parameters, got {dtype}"
            )
        if self.training:
            raise ValueError(
                "freeze() is for inference, this module is training: call eval() first"
            )
        self.unfreeze()
        device_type = self.affinity.device.type
        with ordinary_tensors(), torch.autocast(device_type, enabled=False):
            self.frozen_weight = self.weight().to(own if dtype is None else dtype)
        self._note_sources()
        return self

    def unfreeze(self) -> Self:
        """Drop the copies of the weights.

        Returns:
            The module itself.
        """
        self.frozen_weight = self.frozen_weight.new_empty(0)
        self._resized.clear()
        self._laid_out_for.clear()
        self._made_from.clear()
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode; training drops the frozen weights."""
        if mode:
            self.unfreeze()
        return super().train(mode)

    def extra_repr(self) -> str:
        """The arguments that shape the operator."""
        return (
            f"{self.channels}, output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, dilation={self.dilation}, resize={self.resize!r}"
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch leaves it bare
        self._note_sources()  # a copy's parameters count from zero

    def __getstate__(self) -> dict[str, Any]:
        if not self.frozen:
            self.unfreeze()  # else a copy would take old weights for new ones
        return self.__dict__

    def _note_sources(self) -> None:
        sources = (self.affinity, *self.generator.parameters())
        self._made_from = [(parameter, changes_of(parameter)) for parameter in sources]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.unfreeze()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it bare
        return self

    def _weight_of(self, size: tuple[int, int], x: Tensor) -> Tensor:
        """Weights for an output map of the given (height, width); copies laid out for the maps."""
        if not self.frozen or torch.compiler.is_compiling():
            return self.weight() if size == self.output_size else self._resample(size)
        own, layout = size == self.output_size, memory_format_of(x)
        known = self.frozen_weight if own else self._resized.get(size)
        if known is not None and self._laid_out_for.get(size) == layout:
            return known
        with ordinary_tensors():
            made = self._resample(size) if known is None else known
            kept = kernel_for(x.device).kept(made, x)
        if own:
            self.frozen_weight = kept
        else:
            if known is None and len(self._resized) == _RESIZED_KEPT:
                del self._resized[next(iter(self._resized))]
            self._resized[size] = kept
        self._laid_out_for[size] = layout
        return kept

    def _resample(self, size: tuple[int, int]) -> Tensor:
        weight = self.weight()
        joined = join_taps(weight).to(torch.promote_types(weight.dtype, self.affinity.dtype))
        return split_taps(self._resizer(joined, size).to(weight.dtype), self.channels)


def _unfreeze_after_load(module: nn.Module, _incompatible_keys: Any) -> None:
    """Post hook of load_state_dict: the copies belong to the parameters before it."""
    if isinstance(module, TVConv2d):
        module.unfreeze()
