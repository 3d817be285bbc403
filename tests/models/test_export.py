"""The frozen network as a graph for other programs, and as one compiled graph."""

import copy
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from tvseg.models import build_model, freeze
from tvseg.ops import TVConv2d

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


@pytest.fixture(scope="module")
def network(narrow_tvconv: None) -> nn.Module:
    """A frozen network whose affinity maps are uneven, with logits of ordinary size."""
    torch.manual_seed(0)
    built = build_model(aspp="tvconv", image_size=64)
    for layer in built.modules():
        if isinstance(layer, TVConv2d):
            nn.init.normal_(layer.affinity)
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # the statistics of one batch
    with torch.no_grad():
        built(torch.randn(4, 3, 64, 64))
    freeze(built.eval())
    return built


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def logits(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(image).clone()


@pytest.fixture(scope="module")
def program(network: nn.Module, image: torch.Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(network, (image,))


def test_the_logits_depend_on_the_frozen_weights(
    network: nn.Module, image: torch.Tensor, logits: torch.Tensor
) -> None:
    spoiled = copy.deepcopy(network)
    for layer in spoiled.modules():
        if isinstance(layer, TVConv2d):
            layer.frozen_weights.keep(
                lambda layer=layer: layer.weight().roll(1, dims=3), layer.parameters()
            )
    with torch.inference_mode(), pytest.raises(AssertionError):
        torch.testing.assert_close(spoiled(image), logits, rtol=0, atol=1e-2)


def test_freezing_puts_the_network_into_channels_last(network: nn.Module) -> None:
    weights = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_export(
    program: torch.export.ExportedProgram, image: torch.Tensor, logits: torch.Tensor
) -> None:
    torch.testing.assert_close(program.module()(image), logits, **TOLERANCE)
    assert not [node for node in program.graph.nodes if "tvseg" in str(node.target)]


def test_compiled_in_one_graph(
    network: nn.Module, image: torch.Tensor, logits: torch.Tensor
) -> None:
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")  # needs no C++ compiler
    with torch.inference_mode():
        torch.testing.assert_close(compiled(image), logits, **TOLERANCE)


@pytest.fixture(scope="module")
def exact(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """The logits in float64."""
    with torch.inference_mode():
        return copy.deepcopy(network).double()(image.double())


def as_near_as_eager(given: torch.Tensor, logits: torch.Tensor, exact: torch.Tensor) -> bool:
    """Sixty layers magnify rounding: eager mode is 7e-5 off, and as far from itself in a batch."""
    eager_error = (logits - exact).abs().max()
    assert eager_error < 1e-4 < logits.std() / 1000
    return bool((given - exact).abs().max() < 1.5 * eager_error)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_by_inductor(
    network: nn.Module, image: torch.Tensor, logits: torch.Tensor, exact: torch.Tensor
) -> None:
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True)
    with torch.inference_mode():
        assert as_near_as_eager(compiled(image), logits, exact)


def run_onnx(program: torch.export.ExportedProgram, x: torch.Tensor, folder: Path) -> torch.Tensor:
    """What ONNX Runtime makes of a program."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = folder / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(program, (x,), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(given)


@pytest.mark.parametrize("size", [(6, 4), (9, 10)])
def test_onnx_of_one_layer(size: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = TVConv2d(5, (6, 4), dilation=2, bias=True, hidden_channels=4, resize="bilinear")
    nn.init.normal_(layer.affinity)
    x = torch.randn(2, 5, *size)
    with torch.no_grad():
        wanted = layer.eval().freeze()(x)
    given = run_onnx(torch.export.export(layer, (x,)), x, tmp_path)
    torch.testing.assert_close(given, wanted, **TOLERANCE)


def test_onnx_is_as_near_the_exact_logits_as_eager_mode(
    program: torch.export.ExportedProgram,
    image: torch.Tensor,
    logits: torch.Tensor,
    exact: torch.Tensor,
    tmp_path: Path,
) -> None:
    assert as_near_as_eager(run_onnx(program, image, tmp_path), logits, exact)
