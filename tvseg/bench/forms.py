"""The ways to compute the operator that are compared in benchmarks, and their check."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.bench.timing import CPU
from tvseg.ops import WeightGenerator, kernels, tv_conv2d
from tvseg.ops.export_form import tv_conv2d_plain
from tvseg.ops.memory_layout import pixel_major, tap_major

MAX_ERROR = 1e-5
"""Largest difference to the plain torch form that counts as the same result, relative to the
largest element; float32 sums of 9 taps and up to 48 images."""


@dataclass(frozen=True)
class Shape:
    """A call with 3x3 kernels: ``batch`` maps (channels, height, width) and a stride."""

    name: str
    batch: int
    channels: int
    height: int
    width: int
    stride: int = 1

    @property
    def out_size(self) -> tuple[int, int]:
        """Return (height, width) of the output map."""
        return (self.height - 1) // self.stride + 1, (self.width - 1) // self.stride + 1

    @property
    def macs(self) -> int:
        """Count the multiplications of the forward pass."""
        height, width = self.out_size
        return 9 * self.batch * self.channels * height * width

    def bytes_moved(
        self, weight_dtype: torch.dtype = torch.float32, *, shared: bool = False
    ) -> int:
        """Count the bytes that the forward pass must move: float32 input and output, weights.

        Args:
            weight_dtype: Of the weights.
            shared: Whether all pixels share nine weights a channel.
        """
        height, width = self.out_size
        maps = self.height * self.width + height * width
        weights = 9 if shared else 9 * height * width
        return self.channels * (4 * self.batch * maps + weight_dtype.itemsize * weights)


class Problem:
    """Maps, weights and a gradient of one shape, drawn with a seed.

    Args:
        shape: The sizes.
        seed: Of every draw.
        device: Where it is computed; draws and the results wanted are made on the CPU.
    """

    def __init__(self, shape: Shape, *, seed: int = 0, device: torch.device = CPU) -> None:
        self.shape, self.device = shape, device
        random = torch.Generator().manual_seed(seed)
        maps = (shape.batch, shape.channels)
        self.x = torch.randn(*maps, shape.height, shape.width, generator=random)
        self.grad = torch.randn(*maps, *shape.out_size, generator=random)
        self.affinity = torch.randn(4, *shape.out_size, generator=random)
        self.generator = WeightGenerator(
            shape.channels, shape.out_size, kernel_size=3,
            affinity_channels=4, hidden_channels=64, hidden_layers=3,
        )  # fmt: skip
        for parameter in self.generator.parameters():
            if parameter.ndim == 4:
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5, generator=random)
        with torch.no_grad():
            self.weight: Tensor = self.generator(self.affinity)  # (C, 9, Ho, Wo)
        self.shared = torch.randn(shape.channels, 9, generator=random)
        self._wanted: dict[tuple[bool, torch.dtype], tuple[Tensor, Tensor, Tensor]] = {}

    def wanted(self, *, shared: bool, weight_dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Compute output and gradients by the plain torch form on the CPU, once for each weight.

        Args:
            shared: Whether all pixels share the weights.
            weight_dtype: To which given weights are rounded.
        """
        key = shared, weight_dtype
        if key not in self._wanted:
            x = self.x.clone().requires_grad_()
            weight = self.shared if shared else self.weight.to(weight_dtype).float()
            weight = weight.clone().requires_grad_()
            size = self.shape.out_size
            spread = weight[..., None, None].expand(-1, -1, *size) if shared else weight
            out = tv_conv2d_plain(x, spread, self.shape.stride, 1)
            gradients = torch.autograd.grad(out, (x, weight), self.grad)
            self._wanted[key] = out.detach(), gradients[0], gradients[1]
        return self._wanted[key]


@dataclass(frozen=True)
class Form:
    """One way to compute the operator.

    Args:
        layout: Memory format of maps and weights.
        compute: (x, weight, stride) -> out.
        weight: ``given`` (C, 9, Ho, Wo), ``generated`` anew in each forward pass, or ``shared``
            (C, 9) by all pixels.
        weight_dtype: Of given weights.
        trains: Whether the backward pass is compared and timed too.
    """

    layout: torch.memory_format
    compute: Callable[[Tensor, Tensor, int], Tensor]
    weight: str = "given"
    weight_dtype: torch.dtype = torch.float32
    trains: bool = True


def unfolded(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute the published form: nine copies of the input, times the weights, added up."""
    channels, taps, height, width = weight.shape
    copies = F.unfold(x, 3, padding=1, stride=stride).view(-1, channels, taps, height, width)
    return (copies * weight).sum(dim=2)


def depthwise(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute a depthwise convolution, the weights (C, 9) shared by all pixels."""
    kernels = weight.view(-1, 1, 3, 3)
    return F.conv2d(x, kernels, stride=stride, padding=1, groups=len(kernels))


@contextmanager
def served_by(kernel: str, device_type: str = "cpu") -> Iterator[None]:
    """Compute TVConv on a type of device with a kernel of this name."""
    before = kernels.PREFERRED[device_type]
    kernels.PREFERRED[device_type] = kernel
    try:
        yield
    finally:
        kernels.PREFERRED[device_type] = before


def _ours(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return tv_conv2d(x, weight, stride=stride)


_NCHW, _NHWC = torch.contiguous_format, torch.channels_last
FORMS: dict[str, Form] = {
    "authors": Form(_NCHW, unfolded, "generated", trains=False),
    "unfold": Form(_NCHW, unfolded),
    "torch": Form(_NHWC, _ours),
    "compiled": Form(_NHWC, _ours),
    "compiled, bf16 weights": Form(_NHWC, _ours, weight_dtype=torch.bfloat16, trains=False),
    "torch NCHW": Form(_NCHW, _ours),
    "depthwise NCHW": Form(_NCHW, depthwise, "shared"),
    "depthwise": Form(_NHWC, depthwise, "shared"),
}
_COMPILED = {"cpu": "numba", "cuda": "triton"}


def kernel_of(form: str, device_type: str = "cpu") -> str:
    """Name the kernel that computes a form on a type of device: compiled loops, or torch's."""
    return _COMPILED[device_type] if form.startswith("compiled") else "torch"


@dataclass(frozen=True)
class Bound:
    """A form bound to a problem.

    Args:
        forward: Computes the output.
        both: Computes the output and returns the gradients of input and weight.
        held: Tensors that both passes need.
        error: Largest relative difference to the plain torch form on the CPU, in output and
            gradients.
    """

    forward: Callable[[], Tensor]
    both: Callable[[], tuple[Tensor, ...]]
    held: tuple[Tensor, ...]
    error: float


def bind(name: str, problem: Problem) -> Bound:
    """Lay a problem out for a form, and compare its results with the plain torch form.

    Given weights are laid out as a layer has them: in both passes as its generator makes them,
    forward as a frozen one keeps them for its kernel.

    Args:
        name: One of FORMS.
        problem: What to compute.
    """
    form, device = FORMS[name], problem.device
    x, grad = (
        t.to(device).contiguous(memory_format=form.layout).detach()
        for t in (problem.x, problem.grad)
    )
    x.requires_grad_()
    weight = problem.shared.clone() if form.weight == "shared" else _laid_out(problem, form)
    weight = weight.to(device).requires_grad_()
    stride, kernel = problem.shape.stride, kernel_of(name, device.type)
    generator, affinity = problem.generator.to(device), problem.affinity.to(device)
    kept = weight.detach()
    if form.compute is _ours:
        kept = kernels.KERNELS[kernel].layout_for(x)(kept)

    def forward() -> Tensor:
        with torch.inference_mode(), served_by(kernel, device.type):
            given = generator(affinity) if form.weight == "generated" else kept
            out: Tensor = form.compute(x, given, stride)
        return out

    def both() -> tuple[Tensor, ...]:
        # the output itself is free before the backward pass
        with served_by(kernel, device.type):
            edge = torch.autograd.graph.get_gradient_edge(form.compute(x, weight, stride))
            return torch.autograd.grad((edge,), (x, weight), (grad,))

    given = (forward(), *both()) if form.trains else (forward(),)
    shared = form.weight == "shared"
    wanted = problem.wanted(shared=shared, weight_dtype=form.weight_dtype)
    error = max(map(difference, given, wanted[: len(given)]))
    return Bound(forward, both, (x.detach(), weight.detach(), grad), error)


def _laid_out(problem: Problem, form: Form) -> Tensor:
    """Lay out the weight as a generator in the form's memory format makes it, as a new leaf."""
    weight = problem.weight.to(form.weight_dtype)
    if form.layout == torch.contiguous_format:
        return tap_major(weight, form.layout).clone()
    return pixel_major(weight)


def difference(given: Tensor, wanted: Tensor) -> float:
    """Return the largest difference relative to the largest element; infinite beside a NaN.

    Args:
        given: A result.
        wanted: What it should be.
    """
    error = float((given.detach().cpu() - wanted).abs().max() / wanted.abs().max())
    return math.inf if math.isnan(error) else error


def wrong(error: float) -> bool:
    """Tell whether a form's error is too large for its times to be believed."""
    return error > MAX_ERROR
