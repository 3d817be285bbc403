"""The operator inside the network: one image forward, and a training step."""

import copy
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.bench.forms import difference, kernel_of, served_by, unfolded
from tvseg.bench.measurement import FORWARD, Measurement
from tvseg.bench.network_state import settled
from tvseg.bench.targets import STEP
from tvseg.bench.timing import Call, interleave, peak_memory, ratio
from tvseg.device import autocast, choose_precision
from tvseg.models.builder import build_model, freeze
from tvseg.ops import TVConv2d
from tvseg.training.fit import make_optimizer

MAX_ERROR = 1e-3
"""Largest difference to the torch kernel's logits in float32, relative to the largest: some sixty
layers magnify the operator's own rounding."""
MAX_GRADIENT_ERROR = 0.05
"""The same of the first layer's gradient, relative to its norm: rounding switches
activations that are near zero (measured: 0.01), a wrong kernel is off by its whole size."""
_HALF = "compiled, bf16 weights"


@dataclass(frozen=True)
class _Variant:
    """A network ready to compute, and the images in its layout."""

    network: nn.Module
    images: Tensor
    kernel: str
    autocast: torch.dtype | None


def published(network: nn.Module) -> nn.Module:
    """Make every TVConv layer generate its weights in each pass and unfold its input."""

    def compute(layer: TVConv2d) -> Callable[[Tensor], Tensor]:
        return lambda x: unfolded(x, layer.weight(), layer.stride)

    for layer in network.modules():
        if isinstance(layer, TVConv2d):
            layer.forward = compute(layer)  # type: ignore[assignment]  # of this one layer
    return network


def _network(aspp: str, image_size: int) -> nn.Module:
    """Build a network whose maps and weights are of ordinary size."""
    network = build_model(aspp=aspp, image_size=image_size)
    return settled(network, torch.randn(2, 3, image_size, image_size))


def _images(count: int, size: int) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def _variants(
    image_size: int, images: Tensor, precision: torch.dtype | None
) -> dict[str, _Variant]:
    """Build the published form in float32 and NCHW, and ours as `tvseg train` runs them."""
    torch.manual_seed(0)
    tvconv, depthwise = (_network(aspp, image_size) for aspp in ("tvconv", "depthwise"))
    last = images.contiguous(memory_format=torch.channels_last)
    variants = {"authors": _Variant(published(copy.deepcopy(tvconv)), images, "torch", None)}
    for name, network in (("torch", tvconv), ("compiled", tvconv), ("depthwise", depthwise)):
        twin = copy.deepcopy(network).to(memory_format=torch.channels_last)
        variants[name] = _Variant(twin, last, kernel_of(name), precision)
    return variants


def measure_forward(
    *, rounds: int, say: Callable[[str], None], image_size: int = 256
) -> Iterator[Measurement]:
    """Time the segmentation of one image, with weights kept where the form can keep them.

    Args:
        rounds: Timed calls of each variant.
        say: Gets the name of what is measured next.
        image_size: Side in px.

    Yields:
        A row per variant.
    """
    say("network, one image")
    variants = _variants(image_size, _images(1, image_size), None)
    compiled = variants["compiled"]
    variants[_HALF] = replace(compiled, network=copy.deepcopy(compiled.network))
    for name, variant in variants.items():
        variant.network.eval()
        if name != "authors":
            freeze(variant.network, torch.bfloat16 if name == _HALF else None)
    yield from _rows(variants, _prediction, FORWARD, rounds=rounds)


def measure_training(
    *, rounds: int, say: Callable[[str], None], batch: int = 48, image_size: int = 256
) -> Iterator[Measurement]:
    """Time a whole training step: forward, loss, backward, Adam.

    Args:
        rounds: Timed steps of each variant.
        say: Gets the name of what is measured next.
        batch: Images of a step.
        image_size: Side in px.

    Yields:
        A row per variant.
    """
    say(f"training step, {batch} images")
    precision = choose_precision("auto", torch.device("cpu"))
    variants = _variants(image_size, _images(batch, image_size), precision)
    yield from _rows(variants, _training_step, STEP, rounds=rounds)


def _prediction(variant: _Variant) -> Call:
    def predict() -> Tensor:
        with torch.inference_mode(), served_by(variant.kernel):
            logits: Tensor = variant.network(variant.images)
        return logits

    return predict


def _training_step(variant: _Variant) -> Call:
    variant.network.train()
    optimizer = make_optimizer(variant.network, 1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with served_by(variant.kernel):
            with autocast(variant.images.device, variant.autocast):
                logits = variant.network(variant.images)
            _loss(logits).backward()  # type: ignore[no-untyped-call]  # torch's
        optimizer.step()

    return step


def _loss(logits: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.float(), torch.ones_like(logits).float())


def _rows(
    variants: Mapping[str, _Variant],
    call_of: Callable[[_Variant], Call],
    passes: str,
    *,
    rounds: int,
) -> Iterator[Measurement]:
    errors = _errors(variants)
    trusted = {name: variant for name, variant in variants.items() if not errors[name][1]}
    calls = {name: call_of(variant) for name, variant in trusted.items()}
    seconds = interleave(calls, rounds=rounds)
    for name, variant in variants.items():
        error, refused = errors[name]
        batch = len(variant.images)
        if refused:
            yield Measurement("network", batch, name, passes, error=error, refused=True)
            continue
        layers = [m.frozen_weights for m in variant.network.modules() if isinstance(m, TVConv2d)]
        held = [*variant.network.parameters(), variant.images, *(kept.weight for kept in layers)]
        yield Measurement(
            "network", batch, name, passes, error=error,
            milliseconds=1e3 * statistics.median(seconds[name]),
            speedup=ratio(seconds["authors"], seconds[name]) if "authors" in seconds else None,
            to_depthwise=ratio(seconds[name], seconds["depthwise"]),
            peak_mb=peak_memory(calls[name], held) / 1e6,
            kept_mb=sum(kept.nbytes for kept in layers) / 1e6 if passes == FORWARD else None,
        )  # fmt: skip


def _errors(variants: Mapping[str, _Variant]) -> dict[str, tuple[float | None, bool]]:
    """Compare every variant with the torch kernel: difference, and whether it is too large."""
    whole = _signature(variants["torch"])
    errors: dict[str, tuple[float | None, bool]] = {}
    for name, variant in variants.items():
        if name == "depthwise":  # another network
            errors[name] = (None, False)
            continue
        given = _signature(variant)
        rounded = name == _HALF  # both kernels are given the rounded weights
        wanted = _signature(replace(variant, kernel="torch")) if rounded else whole
        error = difference(given[0], wanted[0])
        off = float((given[1] - wanted[1]).norm() / wanted[1].norm())
        sound = off <= MAX_GRADIENT_ERROR  # and not NaN
        errors[name] = (error if sound else off, error > MAX_ERROR or not sound)
    return errors


def _signature(variant: _Variant) -> tuple[Tensor, Tensor]:
    """Compute logits of two images without dropout, and the first parameter's gradient."""
    training = variant.network.training
    variant.network.train(False)
    with served_by(variant.kernel):
        logits = variant.network(variant.images[:2])
        (gradient,) = torch.autograd.grad(_loss(logits), next(variant.network.parameters()))
    variant.network.train(training)
    return logits.detach(), gradient
