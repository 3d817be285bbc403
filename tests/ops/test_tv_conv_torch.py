"""The operator inside torch: operator checks, flops, compilation, export, autocast."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.ops.tv_conv_parity import TOLERANCES, Case, draw
from tvseg.ops import TVConv2d, tv_conv2d, tv_conv2d_reference
from tvseg.ops.custom_op import forward_op, grad_input_op, grad_weight_op

CASE = Case(3, 2, 2, (2, 4, 7, 5))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "mixed"])
@pytest.mark.parametrize("stride", [1, 2])
def test_operators_pass_torch_s_checks(layout: str, stride: int) -> None:
    case = Case(3, stride, 2, (2, 4, 7, 5))
    x, weight, grad = draw(case, torch.float32, layout)
    torch.library.opcheck(grad_input_op, (grad, weight, [7, 5], stride, 2))
    torch.library.opcheck(grad_weight_op, (grad, x, weight, stride, 2))
    torch.library.opcheck(forward_op, (x.requires_grad_(), weight.requires_grad_(), stride, 2))


def test_flops_forward_and_backward() -> None:
    x, weight, grad = draw(CASE, torch.float32)
    forward = 2 * 9 * grad.numel()
    with FlopCounterMode(display=False) as counter:
        out = tv_conv2d(x.requires_grad_(), weight.requires_grad_(), stride=2, dilation=2)
    assert counter.get_total_flops() == forward
    with FlopCounterMode(display=False) as counter:
        out.backward(grad)
    assert counter.get_total_flops() == 2 * forward


def test_only_x_and_weight_are_saved() -> None:
    x, weight, _ = (t.requires_grad_() for t in draw(CASE, torch.float32))
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        tv_conv2d(x, weight, stride=2, dilation=2)
    assert {t.data_ptr() for t in saved} == {x.data_ptr(), weight.data_ptr()}


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_in_one_graph(dynamic: bool) -> None:
    torch.compiler.reset()
    x, weight, grad = draw(CASE, torch.float32, "channels_last")
    graphs: list[torch.fx.GraphModule] = []

    def collect(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(tv_conv2d, fullgraph=True, backend=collect, dynamic=dynamic)
    torch.testing.assert_close(
        compiled(x, weight, stride=2, dilation=2), tv_conv2d(x, weight, stride=2, dilation=2)
    )
    assert "tvseg.tv_conv2d" in {
        str(n.target).removesuffix(".default") for n in graphs[0].graph.nodes
    }
    compiled = torch.compile(tv_conv2d, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    x, weight = x.requires_grad_(), weight.requires_grad_()
    given = torch.autograd.grad(compiled(x, weight, stride=2, dilation=2), (x, weight), grad)
    wanted = torch.autograd.grad(tv_conv2d(x, weight, stride=2, dilation=2), (x, weight), grad)
    torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("size", [(6, 4), (9, 10)])
def test_module_compiles_and_exports(frozen: bool, size: tuple[int, int]) -> None:
    torch.compiler.reset()
    torch.manual_seed(0)
    module = TVConv2d(3, (6, 4), hidden_channels=4, bias=True, resize="bilinear").eval()
    nn.init.normal_(module.affinity)
    if frozen:
        module.freeze()
    x = torch.randn(2, 3, *size)
    wanted = copy.deepcopy(module)(x)  # a copy: the module itself has seen no other size yet
    before = module.frozen_bytes
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), wanted, rtol=1e-4, atol=1e-5)
    program = torch.export.export(module, (x,)).run_decompositions()
    assert not [n for n in program.graph.nodes if "tvseg" in str(n.target)]
    torch.testing.assert_close(program.module()(x), wanted, rtol=1e-4, atol=1e-5)
    assert module.frozen_bytes == before  # tracing leaves no tensors behind
    convolutions = [n for n in program.graph.nodes if "convolution" in str(n.target)]
    assert bool(convolutions) != frozen


@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("x_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compiled", [False, True])
def test_autocast_brings_both_to_its_dtype(
    x_dtype: torch.dtype, weight_dtype: torch.dtype, compiled: bool
) -> None:
    torch.compiler.reset()
    x, weight, grad = draw(CASE, torch.bfloat16)
    x, weight = x.to(x_dtype).requires_grad_(), weight.to(weight_dtype).requires_grad_()
    function = tv_conv2d
    if compiled:
        function = torch.compile(tv_conv2d, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = function(x, weight, stride=2, dilation=2)
    out.backward(grad)
    assert out.dtype == torch.bfloat16
    assert (x.grad.dtype, weight.grad.dtype) == (x_dtype, weight_dtype)
    wanted = tv_conv2d_reference(x.float(), weight.float(), stride=2, dilation=2)
    rtol, atol = TOLERANCES[torch.bfloat16]
    torch.testing.assert_close(out.float(), wanted, rtol=rtol, atol=atol)


def test_autocast_leaves_float64_alone() -> None:
    x, weight, _ = draw(CASE, torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = tv_conv2d(x, weight, stride=2, dilation=2)
    assert out.dtype == torch.float64


def test_the_generator_s_last_convolution_runs_in_autocast_s_dtype() -> None:
    module, seen = TVConv2d(3, (6, 4), hidden_channels=4), []
    module.generator.layers[-1].register_forward_hook(
        lambda layer, inputs, out: seen.append(out.dtype)
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert module.weight().dtype == torch.bfloat16
        assert module(torch.randn(2, 3, 6, 4)).dtype == torch.bfloat16
    assert seen == [torch.bfloat16] * 2


def test_module_trains_under_autocast() -> None:
    torch.manual_seed(0)
    module = TVConv2d(3, (6, 4), hidden_channels=4, bias=True).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 6, 4).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(x.bfloat16())
    assert out.dtype == torch.bfloat16
    assert not out.is_contiguous()
    torch.testing.assert_close(out.float(), module(x), rtol=0.05, atol=0.05)
    out.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in module.parameters())


def test_import_needs_nothing_heavier_than_torch() -> None:
    code = (
        "import sys, torch; before = set(sys.modules); import tvseg.ops;"
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    added = result.stdout.split()
    assert not {"torch._dynamo", "torch._inductor", "torchvision"} & set(added)
    # torch.utils.flop_counter imports triton where it is installed
    packages = {name.split(".")[0] for name in added} - {"tvseg", "torch", "triton"}
    assert packages <= sys.stdlib_module_names
