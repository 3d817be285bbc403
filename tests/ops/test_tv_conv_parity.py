"""Outputs and both gradients against the loop reference."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.ops.tv_conv_parity import CASES, LAYOUTS, TOLERANCES, Case, assert_all_close, draw, truth
from tvseg.ops import tv_conv2d, tv_conv2d_reference
from tvseg.ops.export_form import tv_conv2d_plain

pytestmark = pytest.mark.usefixtures("kernel", "blocks")
TYPICAL = [Case(3, 1, 1, (3, 5, 6, 9)), Case(3, 2, 2, (3, 5, 7, 4))]


def computed(
    x: Tensor, weight: Tensor, grad: Tensor, *, stride: int, dilation: int
) -> tuple[Tensor, Tensor, Tensor]:
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    out = tv_conv2d(x, weight, stride=stride, dilation=dilation)
    return out.detach(), *torch.autograd.grad(out, (x, weight), grad)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_equals_the_reference(case: Case) -> None:
    tensors = draw(case, torch.float32)
    steps = {"stride": case.stride, "dilation": case.dilation}
    assert_all_close(computed(*tensors, **steps), truth(*tensors, **steps), torch.float32)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_channels_last_equals_the_reference(case: Case) -> None:
    tensors = draw(case, torch.float32, "channels_last")
    steps = {"stride": case.stride, "dilation": case.dilation}
    assert_all_close(computed(*tensors, **steps), truth(*tensors, **steps), torch.float32)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", TYPICAL, ids=str)
def test_every_dtype_and_layout_equals_the_reference(
    case: Case, layout: str, dtype: torch.dtype
) -> None:
    tensors = draw(case, dtype, layout)
    steps = {"stride": case.stride, "dilation": case.dilation}
    assert_all_close(computed(*tensors, **steps), truth(*tensors, **steps), dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", TYPICAL, ids=str)
def test_bfloat16_weights_beside_float32_maps(case: Case, layout: str) -> None:
    x, weight, grad = draw(case, torch.float32, layout)
    weight = weight.bfloat16()
    steps = {"stride": case.stride, "dilation": case.dilation}
    out, grad_x, grad_weight = computed(x, weight, grad, **steps)
    wanted = truth(x, weight.float(), grad, **steps)
    assert_all_close((out, grad_x), wanted[:2], torch.float32)
    assert_all_close((grad_weight,), wanted[2:], torch.bfloat16)


@pytest.mark.parametrize("case", CASES[:18:5], ids=str)
def test_gradient_of_an_expanded_output(case: Case) -> None:
    x, weight, grad = draw(case, torch.float32)
    grad = grad[:1, :1, :1, :1].expand_as(grad)
    steps = {"stride": case.stride, "dilation": case.dilation}
    assert_all_close(
        computed(x, weight, grad, **steps), truth(x, weight, grad, **steps), torch.float32
    )


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    "case",
    [
        Case(3, 1, 1, (2, 2, 3, 5)),
        Case(3, 2, 1, (2, 2, 5, 4)),
        Case(3, 2, 2, (1, 2, 5, 3)),
        Case(5, 1, 2, (1, 2, 4, 3)),
        Case(1, 2, 1, (1, 2, 3, 4)),
    ],
    ids=str,
)
def test_gradcheck(case: Case, layout: str) -> None:
    x, weight, _ = (t.requires_grad_() for t in draw(case, torch.float64, layout))
    assert torch.autograd.gradcheck(
        lambda x, w: tv_conv2d(x, w, stride=case.stride, dilation=case.dilation), (x, weight)
    )


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("case", TYPICAL, ids=str)
def test_memory_format_is_kept(case: Case, layout: str) -> None:
    x, weight, grad = draw(case, torch.float32, layout)
    x.requires_grad_()
    out = tv_conv2d(x, weight, stride=case.stride, dilation=case.dilation)
    (grad_x,) = torch.autograd.grad(out, x, grad.contiguous())
    formats = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    for maps in (out, grad_x):
        assert maps.is_contiguous(memory_format=formats[layout])
        assert maps.is_contiguous() == (layout == "contiguous")


@pytest.mark.parametrize("needed", ["x", "weight"])
def test_one_gradient_alone(needed: str) -> None:
    case = TYPICAL[0]
    x, weight, grad = draw(case, torch.float32)
    tensors = {"x": x, "weight": weight}
    tensors[needed].requires_grad_()
    tv_conv2d(x, weight).backward(grad)
    _, *gradients = truth(x, weight, grad, stride=1, dilation=1)
    wanted = dict(zip(("x", "weight"), gradients, strict=True))
    torch.testing.assert_close(tensors[needed].grad, wanted[needed], rtol=1e-5, atol=1e-5)
    assert all(t.grad is None for name, t in tensors.items() if name != needed)


def test_empty_batch() -> None:
    x = torch.randn(0, 3, 4, 5, requires_grad=True)
    weight = torch.randn(3, 9, 4, 5, requires_grad=True)
    out = tv_conv2d(x, weight)
    out.sum().backward()
    assert out.shape == (0, 3, 4, 5)
    assert weight.grad is not None
    assert not weight.grad.any()


def results_of(
    form: str, x: Tensor, weight: Tensor, grad: Tensor, steps: dict[str, int]
) -> tuple[Tensor, Tensor]:
    """Output and the weight's gradient."""
    if form == "plain":
        weight = weight.detach().requires_grad_()
        out = tv_conv2d_plain(x, weight, steps["stride"], steps["dilation"])
        return out.detach(), *torch.autograd.grad(out, weight, grad)
    weight = weight.bfloat16() if form == "bfloat16 weights" else weight
    out, _, grad_weight = computed(x, weight, grad, **steps)
    return out, grad_weight


@pytest.mark.parametrize("form", ["operator", "plain", "bfloat16 weights"])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_bad_pixel_stays_in_its_neighbourhood(
    layout: str, stride: int, dilation: int, form: str
) -> None:
    steps = {"stride": stride, "dilation": dilation}
    clean, weight, grad = draw(Case(3, stride, dilation, (2, 3, 6, 7)), torch.float32, layout)
    for row, column in ((0, 0), (0, 6), (3, 0), (4, 6), (5, 3)):
        touched = torch.zeros(1, 1, 6, 7)
        touched[0, 0, row, column] = 1
        reached = functional.conv2d(
            touched, torch.ones(1, 1, 3, 3), stride=stride, padding=dilation, dilation=dilation
        ).bool()[0, 0]
        for value in (float("nan"), float("inf")):
            x = clean.clone()
            x[1, 2, row, column] = value
            out, grad_weight = results_of(form, x, weight, grad, steps)
            assert torch.equal(~out[1, 2].isfinite(), reached)
            assert torch.equal(~grad_weight[2].isfinite().all(dim=0), reached)
            out[1, 2] = 0
            assert out.isfinite().all()
            assert grad_weight[:2].isfinite().all()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_bad_gradient_stays_in_its_neighbourhood(layout: str) -> None:
    x, weight, grad = draw(Case(3, 1, 1, (2, 3, 6, 7)), torch.float32, layout)
    grad[0, 1, 2, 0] = float("nan")
    _, grad_x, _ = computed(x, weight, grad, stride=1, dilation=1)
    reached = torch.zeros(2, 3, 6, 7, dtype=torch.bool)
    reached[0, 1, 1:4, 0:2] = True
    assert torch.equal(grad_x.isnan(), reached)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plain_form_equals_the_reference(case: Case) -> None:
    x, weight, grad = draw(case, torch.float32)
    steps = {"stride": case.stride, "dilation": case.dilation}
    x, weight = x.requires_grad_(), weight.requires_grad_()
    out = tv_conv2d_plain(x, weight, case.stride, case.dilation)
    given = (out.detach(), *torch.autograd.grad(out, (x, weight), grad))
    assert_all_close(given, truth(x, weight, grad, **steps), torch.float32)


def test_plain_form_rounds_once_in_bfloat16() -> None:
    x, weight, grad = draw(TYPICAL[0], torch.bfloat16)
    out, _, _ = truth(x, weight, grad, stride=1, dilation=1)
    assert_all_close((tv_conv2d_plain(x, weight, 1, 1),), (out,), torch.bfloat16)


def test_reference_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    weight = torch.zeros(1, 9, 2, 3)
    weight[0, 5] = 1  # the tap to the right: out[i, j] = x[i, j + 1]
    weight[0, 1, 1, 0] = 10  # at pixel (1, 0) also ten times the pixel above
    wanted = torch.tensor([[[[2.0, 3.0, 0.0], [5.0 + 10.0, 6.0, 0.0]]]])
    assert torch.equal(tv_conv2d_reference(x, weight), wanted)


def test_reference_with_shared_weights_is_a_depthwise_convolution() -> None:
    case = Case(3, 2, 2, (2, 3, 7, 5))
    x, weight, _ = draw(case, torch.float64)
    shared = weight[:, :, :1, :1].expand_as(weight)
    wanted = functional.conv2d(
        x, shared[:, :, 0, 0].reshape(3, 1, 3, 3), stride=2, padding=2, dilation=2, groups=3
    )
    torch.testing.assert_close(tv_conv2d_reference(x, shared, stride=2, dilation=2), wanted)
