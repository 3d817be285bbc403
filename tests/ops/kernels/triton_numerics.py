"""What the triton kernel computes, on a GPU or in triton's interpreter on the CPU.

Run by test_triton_kernel.py in a process of its own, since triton is interpreted only where
TRITON_INTERPRET=1 is set before its first import.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.ops.tv_conv_parity import CASES, LAYOUTS, Case, assert_all_close, draw, truth
from tvseg.ops import kernels, tv_conv2d
from tvseg.ops.kernels import torch_kernel, triton_kernel

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TYPICAL = Case(3, 2, 2, (3, 5, 7, 4))
LARGE = [  # more than one tile in every axis that there is
    (Case(3, 1, 1, (9, 33, 5, 5)), "channels_last"),
    (Case(3, 2, 1, (1, 33, 9, 9)), "channels_last"),
    (Case(1, 1, 1, (1, 1921, 1, 1)), "channels_last"),
    (Case(7, 1, 1, (1, 2, 3, 5)), "channels_last"),
    (Case(3, 1, 2, (9, 2, 9, 33)), "contiguous"),
]


def every(step: int) -> list[object]:
    """Parity cases, all but every ``step``-th in the slow tier: the interpreter takes seconds."""
    return [
        pytest.param(case, marks=pytest.mark.slow if number % step else (), id=str(case))
        for number, case in enumerate(CASES)
    ]


@pytest.fixture(autouse=True)
def _serves_this_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The triton kernel serves the device, and a call that it does not serve itself fails."""
    served = replace(kernels.KERNELS["triton"], devices=None)
    monkeypatch.setitem(kernels.KERNELS, "triton", served)
    monkeypatch.setitem(kernels.PREFERRED, DEVICE.type, "triton")
    for name in ("forward", "grad_input", "grad_weight"):
        monkeypatch.delattr(torch_kernel, name)


def drawn(case: Case, dtype: torch.dtype, layout: str) -> tuple[Tensor, Tensor, Tensor]:
    """Draws on the device, which keeps their strides."""
    x, weight, grad = (
        torch.empty_strided(t.shape, t.stride(), dtype=dtype, device=DEVICE).copy_(t)
        for t in draw(case, dtype, layout)
    )
    return x, weight, grad


def results(x: Tensor, weight: Tensor, grad: Tensor, case: Case) -> tuple[Tensor, Tensor, Tensor]:
    steps = case.stride, case.dilation
    return (
        triton_kernel.forward(x, weight, *steps),
        triton_kernel.grad_input(grad, weight, case.shape[2:], *steps),
        triton_kernel.grad_weight(grad, x, weight, *steps),
    )


def hold_close(given: tuple[Tensor, ...], wanted: tuple[Tensor, ...], dtype: torch.dtype) -> None:
    """As assert_all_close; twice its tolerance where the interpreter cuts bfloat16's bits off."""
    if dtype == torch.bfloat16 and DEVICE.type == "cpu":
        assert [tensor.dtype for tensor in given] == [dtype] * len(wanted)
        given = tuple(tensor.float() for tensor in given)
        torch.testing.assert_close(given, wanted, rtol=2**-7, atol=1e-5)
    else:
        assert_all_close(given, wanted, dtype)


def hold_parity(case: Case, dtype: torch.dtype, layout: str) -> None:
    tensors = drawn(case, dtype, layout)
    wanted = truth(*tensors, stride=case.stride, dilation=case.dilation)
    hold_close(results(*tensors, case), wanted, dtype)


@pytest.mark.parametrize("case", every(5))
def test_channels_last_cases_equal_the_reference(case: Case) -> None:
    hold_parity(case, torch.float32, "channels_last")


@pytest.mark.parametrize("case", every(9))
def test_contiguous_cases_equal_the_reference(case: Case) -> None:
    hold_parity(case, torch.float32, "contiguous")


@pytest.mark.slow
@pytest.mark.parametrize(("case", "layout"), LARGE, ids=str)
def test_many_tiles_equal_the_reference(case: Case, layout: str) -> None:
    hold_parity(case, torch.float32, layout)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype_and_layout_equals_the_reference(layout: str, dtype: torch.dtype) -> None:
    hold_parity(TYPICAL, dtype, layout)


@pytest.mark.parametrize("layout", ["sliced", "mixed"])
def test_every_layout_equals_the_reference(layout: str) -> None:
    hold_parity(TYPICAL, torch.float32, layout)


def test_weights_may_be_narrower_than_maps() -> None:
    x, weight, grad = drawn(TYPICAL, torch.float32, "channels_last")
    weight = weight.bfloat16()
    wanted = truth(x, weight.float(), grad, stride=2, dilation=2)
    out, grad_x, grad_weight = results(x, weight, grad, TYPICAL)
    assert_all_close((out, grad_x), wanted[:2], torch.float32)
    hold_close((grad_weight,), wanted[2:], torch.bfloat16)


@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_numbers_stay_in_their_neighbourhood(value: float, stride: int, layout: str) -> None:
    case = Case(3, stride, 1, (2, 3, 4, 5))
    x, weight, grad = drawn(case, torch.float32, layout)
    bad = x.clone()
    bad[1, 2, 0, 4] = value
    out, _, grad_weight = results(bad, weight, grad, case)
    wanted, _, wanted_weight = truth(bad, weight, grad, stride=stride, dilation=1)
    assert torch.equal(out.isfinite(), wanted.isfinite())
    assert torch.equal(grad_weight.isfinite(), wanted_weight.isfinite())
    weight[:, :3, 0] = value  # the row above row 0
    out, grad_x, _ = results(x, weight, grad, case)
    assert out.isfinite().all()
    assert grad_x.isfinite().all()
    grad[:, :, 0] = value
    *_, grad_weight = results(x, weight, grad, case)
    assert not grad_weight[:, :3, 0].any()


@pytest.fixture(scope="module")
def vast() -> Tensor:
    """More than 2**31 elements, of which hardly a page is ever touched on a CPU."""
    return torch.empty(2**31 + 1000, dtype=torch.float16, device=DEVICE)


def apart(tensor: Tensor, axis: int, vast: Tensor) -> Tensor:
    """The same numbers, those of one axis 2**31 elements apart from the first to the last."""
    steps = list(tensor.stride())
    steps[axis] = 2**31 // (tensor.shape[axis] - 1)
    return vast.as_strided(tensor.shape, steps).copy_(tensor)


@pytest.mark.slow
@pytest.mark.parametrize("axis", range(4))
@pytest.mark.parametrize("name", ["x", "weight", "grad"])
def test_what_is_read_may_be_longer_than_32_bits_count(name: str, axis: int, vast: Tensor) -> None:
    case = Case(3 if axis == 1 else 1, 1, 1, (3, 3, 3, 3))
    tensors = dict(
        zip(("x", "weight", "grad"), drawn(case, torch.float16, "contiguous"), strict=True)
    )
    wanted = truth(**tensors, stride=1, dilation=1)
    tensors[name] = apart(tensors[name], axis, vast)
    assert_all_close(results(**tensors, case=case), wanted, torch.float16)


@pytest.mark.slow
@pytest.mark.parametrize("axis", range(4))
def test_what_is_written_may_be_longer_than_32_bits_count(axis: int, vast: Tensor) -> None:
    from tvseg.ops.kernels import triton_tiles

    case = Case(3 if axis == 1 else 1, 1, 1, (3, 3, 3, 3))
    x, weight, grad = drawn(case, torch.float16, "contiguous")
    wanted = truth(x, weight, grad, stride=1, dilation=1)
    out = apart(torch.zeros_like(x), axis, vast)
    triton_tiles.sum_taps(x, weight, out, 1, 1, transposed=False)
    assert_all_close((out,), wanted[:1], torch.float16)
    grad_weight = apart(torch.zeros_like(weight), axis, vast)
    triton_tiles.spread_taps(grad, x, grad_weight, 1, 1)
    assert_all_close((grad_weight,), wanted[2:], torch.float16)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_lie_as_torch_s_kernel_lays_them(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = drawn(TYPICAL, torch.float32, layout)
    given = [tensor.stride() for tensor in results(*tensors, TYPICAL)]
    monkeypatch.undo()
    monkeypatch.setattr(triton_kernel, "_compiled", lambda: None)
    assert given == [tensor.stride() for tensor in results(*tensors, TYPICAL)]


def test_torch_computes_what_the_tiles_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    hold_parity(TYPICAL, torch.float64, "channels_last")
    x, weight, grad = (t.to(DEVICE) for t in draw(TYPICAL, torch.float32))
    out, grad_x, grad_weight = results(
        x[:0], weight, grad[:0], TYPICAL._replace(shape=(0, 5, 7, 4))
    )
    assert (len(out), len(grad_x)) == (0, 0)
    assert not grad_weight.any()


@pytest.mark.parametrize("compiled", [False, True])
def test_the_operator_trains_through_it(compiled: bool) -> None:
    torch.compiler.reset()
    x, weight, grad = drawn(TYPICAL, torch.float32, "channels_last")
    wanted = truth(x, weight, grad, stride=2, dilation=2)
    function = tv_conv2d
    if compiled:
        function = torch.compile(tv_conv2d, fullgraph=True, backend="aot_eager")
    x, weight = x.requires_grad_(), weight.requires_grad_()
    out = function(x, weight, stride=2, dilation=2)
    given = (out.detach(), *torch.autograd.grad(out, (x, weight), grad))
    assert_all_close(given, wanted, torch.float32)
