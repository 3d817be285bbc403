"""The operator's benchmark in sizes that take milliseconds."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tvseg.bench import forms
from tvseg.bench.forms import FORMS, MAX_ERROR, Problem, Shape, bind, depthwise, difference
from tvseg.bench.measurement import BOTH, FORWARD
from tvseg.bench.operator import ASPP, MOBILENET, SWEEPS, measure_operator
from tvseg.bench.targets import refusals
from tvseg.ops import kernels, tv_conv2d_reference

TINY = Shape("tiny", 3, 5, 6, 4)
STRIDED = Shape("strided", 2, 33, 7, 4, stride=2)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("shape", [TINY, STRIDED], ids=str)
def test_every_form_computes_the_operator(name: str, shape: Shape) -> None:
    problem = Problem(shape)
    bound = bind(name, problem)
    assert bound.error <= MAX_ERROR
    weight = problem.weight.to(FORMS[name].weight_dtype).float()
    if FORMS[name].weight == "shared":
        weight = problem.shared[..., None, None].expand(-1, -1, *shape.out_size)
    wanted = tv_conv2d_reference(problem.x, weight, stride=shape.stride)
    torch.testing.assert_close(bound.forward(), wanted, rtol=1e-4, atol=1e-5)


def test_the_published_form_generates_its_weights() -> None:
    problem = Problem(TINY)
    published, given = (bind(name, problem) for name in ("authors", "unfold"))
    before = published.forward()
    with torch.no_grad():
        problem.generator.layers[-1].weight.mul_(2)
    torch.testing.assert_close(published.forward(), 2 * before)
    torch.testing.assert_close(given.forward(), before)


def test_each_form_has_its_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, used = Problem(TINY), []
    for name, kernel in kernels.KERNELS.items():

        def forward(
            *arguments: Tensor, name: str = name, kernel: kernels.Kernel = kernel
        ) -> Tensor:
            used.append(name)
            return kernel.forward(*arguments)

        monkeypatch.setitem(kernels.KERNELS, name, replace(kernel, forward=forward))
    before = kernels.PREFERRED["cpu"]
    for form in FORMS:
        used.clear()
        bind(form, problem)
        kernel = {"torch": {"torch"}, "compiled": {"numba"}}
        assert set(used) == kernel.get(form.replace(",", " ").split()[0], set())
    assert kernels.PREFERRED["cpu"] == before


def test_rows_of_a_tiny_shape() -> None:
    rows = list(measure_operator([TINY], bandwidth=1e9, rounds=1, say=lambda words: None))
    assert [row.variant for row in rows if row.passes == FORWARD] == list(FORMS)
    assert [row.variant for row in rows if row.passes == BOTH] == [
        name for name, form in FORMS.items() if form.trains
    ]
    maps, weights = 3 * 5 * 24, 9 * 5 * 24
    for row in rows:
        scale = 1 if row.passes == FORWARD else 3
        assert row.macs == scale * 9 * maps
        of_weight = 2 if "bf16" in row.variant else 4
        moved = 9 * 5 if "depthwise" in row.variant else weights
        assert row.megabytes == scale * (4 * 2 * maps + of_weight * moved) / 1e6
        assert row.milliseconds > 0
        share = row.megabytes * 1e6 / (1e-3 * row.milliseconds) / 1e9
        assert row.bandwidth_share == pytest.approx(share)
        assert row.peak_mb * 1e6 >= 4 * 2 * maps
    by_name = {row.variant: row for row in rows if row.passes == FORWARD}
    assert by_name["depthwise"].to_depthwise == 1
    assert by_name["authors"].speedup == 1
    assert by_name["unfold"].memory_to_unfold == 1
    assert by_name["unfold"].peak_mb * 1e6 >= 4 * 18 * maps  # the copies and their products
    assert by_name["compiled"].peak_mb * 1e6 == 4 * (2 * maps + weights)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and TVSEG_TEST_CUDA=1")
def test_rows_on_a_gpu() -> None:
    device, used = torch.device("cuda"), []
    rows = list(measure_operator([TINY], bandwidth=1e12, rounds=2, say=used.append, device=device))
    assert not refusals(rows)
    assert all(0 < row.milliseconds < 10 and row.peak_mb > 0 for row in rows)


_BLOCKED = ("monai", "ignite", "segmentation_models_pytorch", "albumentations", "omegaconf",
            "nibabel", "pydantic")  # fmt: skip
_WITHOUT_THEM = f"""
import sys
for name in {_BLOCKED}:
    sys.modules[name] = None
import tests.conftest, tests.ops.conftest, tests.ops.kernels.triton_numerics
from click.testing import CliRunner
from tvseg.bench import operator
from tvseg.bench.forms import Shape
operator.ASPP, operator.MOBILENET = (Shape("tiny", 2, 5, 6, 4),), ()
from tvseg.cli import cli
result = CliRunner().invoke(cli, ["bench", "operator", "--rounds", "1"])
assert result.exit_code == 0, (result.output, result.exception)
assert "tiny, batch 2" in result.output
"""


def test_a_machine_with_torch_alone_measures_the_operator() -> None:
    """As those with GPUs that are lent: scripts/gpu_check.sh installs nothing."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THEM], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("broken", ["compiled", "depthwise", "unfold"])
def test_a_wrong_form_is_refused(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMS[broken]

    def slightly_off(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        out = form.compute(x, weight, stride)
        return out * (1 + 1e-4)

    monkeypatch.setitem(forms.FORMS, broken, replace(form, compute=slightly_off))
    rows = list(measure_operator([TINY], bandwidth=1e9, rounds=1, say=lambda words: None))
    refused = [row for row in rows if row.refused]
    assert {row.variant for row in refused} == {broken}
    assert all(row.milliseconds is None and row.peak_mb is None for row in refused)
    assert all(row.milliseconds for row in rows if not row.refused)
    assert len(refusals(rows)) == 2
    assert f"{broken} differs" in refusals(rows)[0]


def test_a_wrong_gradient_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMS["depthwise"]

    def detached(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        half = depthwise(x, weight, stride) / 2
        return half + half.detach()

    monkeypatch.setitem(forms.FORMS, "depthwise", replace(form, compute=detached))
    assert bind("depthwise", Problem(TINY)).error > MAX_ERROR


def test_difference() -> None:
    wanted = torch.tensor([1.0, -4.0])
    assert difference(wanted + torch.tensor([0.0, 1.0]), wanted) == 0.25
    assert difference(torch.tensor([math.nan, -4.0]), wanted) == math.inf


def test_shapes_are_those_of_the_design() -> None:
    assert [(s.batch, s.channels, s.height, s.width) for s in ASPP] == [
        (batch, 1920, 16, 16) for batch in (1, 4, 16, 48)
    ]
    assert {shape.stride for shape in MOBILENET} == {1, 2}
    assert {name: len({(s.channels, s.height, s.batch) for s in sweep}) for name, sweep in
            SWEEPS.items()} == {"channels": 5, "map size": 4, "batch": 4}  # fmt: skip
