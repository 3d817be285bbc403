"""What the parity tests of every kernel share: tolerances, cases, draws."""

from typing import NamedTuple

import torch
from torch import Tensor

from tvseg.ops import tv_conv2d_reference

# dtype -> (rtol, atol) against the loop reference, which runs in float32 (float64 for float64) on
# the same rounded inputs. The same on every machine.
# float64, float32: sums of up to 25 taps (x 17 images for the weight) in another order.
# bfloat16, float16: sums in float32, rounded once: 2**-8 and 2**-11 are half a unit in the last
# place at worst.
TOLERANCES: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-11, 1e-12),
    torch.float32: (1e-5, 1e-5),
    torch.bfloat16: (2**-8, 1e-5),
    torch.float16: (2**-11, 1e-5),
}


class Case(NamedTuple):
    """One call: kernel side, stride, dilation, and the input map's shape."""

    kernel_size: int
    stride: int
    dilation: int
    shape: tuple[int, int, int, int]

    @property
    def out_size(self) -> tuple[int, int]:
        return -(-self.shape[2] // self.stride), -(-self.shape[3] // self.stride)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.shape[1], self.kernel_size**2, *self.out_size


CASES = [
    Case(kernel_size, stride, dilation, (2, 3, 7, 5))
    for kernel_size in (1, 3, 5)
    for stride in (1, 2)
    for dilation in (1, 2, 3)
] + [
    Case(3, 1, 1, (1, 1, 4, 6)),
    Case(3, 2, 1, (17, 2, 5, 4)),
    Case(3, 2, 1, (2, 2, 8, 6)),
    Case(3, 3, 1, (2, 2, 10, 8)),
    Case(3, 1, 1, (17, 1, 3, 8)),
    Case(3, 1, 1, (2, 4, 1, 1)),
    Case(3, 1, 1, (2, 4, 1, 7)),
    Case(3, 1, 3, (1, 2, 2, 2)),
    Case(5, 2, 3, (1, 2, 3, 2)),
    Case(3, 1, 1, (1, 1921, 3, 2)),
    Case(5, 2, 2, (17, 1921, 3, 2)),
]


def draw(
    case: Case, dtype: torch.dtype, layout: str = "contiguous"
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw x, weight and the gradient of the output, in one of LAYOUTS."""
    generator = torch.Generator().manual_seed(sum(case.shape) + case.kernel_size)
    shapes = (case.shape, case.weight_shape, (*case.shape[:2], *case.out_size))
    x, weight, grad = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes
    )
    return LAYOUTS[layout](x), WEIGHT_LAYOUTS[layout](weight), LAYOUTS[layout](grad)


def _every_second(tensor: Tensor) -> Tensor:
    """The same values as every second column of a wider tensor."""
    wide = tensor.new_full((*tensor.shape[:3], 2 * tensor.shape[3]), float("nan"))
    wide[..., ::2] = tensor
    return wide[..., ::2]


def _channels_innermost(weight: Tensor) -> Tensor:
    return weight.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


LAYOUTS = {
    "contiguous": Tensor.contiguous,
    "channels_last": _channels_last,
    "sliced": _every_second,
    "mixed": _channels_last,
}
WEIGHT_LAYOUTS = {
    "contiguous": Tensor.contiguous,
    "channels_last": _channels_innermost,
    "sliced": _every_second,
    "mixed": Tensor.contiguous,
}


def truth(
    x: Tensor, weight: Tensor, grad: Tensor, *, stride: int, dilation: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Output and both gradients of the loop reference, in float32 or wider."""
    wide = torch.promote_types(x.dtype, torch.float32)
    x, weight = (t.detach().to(wide).requires_grad_() for t in (x, weight))
    out = tv_conv2d_reference(x, weight, stride=stride, dilation=dilation)
    return out.detach(), *torch.autograd.grad(out, (x, weight), grad.to(wide))


def assert_all_close(
    given: tuple[Tensor, ...], wanted: tuple[Tensor, ...], dtype: torch.dtype
) -> None:
    """Compare in the dtype's tolerance; shapes must match, dtypes of given must be dtype."""
    rtol, atol = TOLERANCES[dtype]
    assert [tensor.dtype for tensor in given] == [dtype] * len(wanted)
    rounded = tuple(ours.to(theirs.dtype) for ours, theirs in zip(given, wanted, strict=True))
    torch.testing.assert_close(rounded, wanted, rtol=rtol, atol=atol)
