"""The GPU's kernel: its numbers, its machine code, and machines without triton.

The suite hides GPUs. To test on one:

    TVSEG_TEST_CUDA=1 python -m pytest tests/ops/kernels/test_triton_kernel.py
"""

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.ops.tv_conv_parity import Case, assert_all_close, draw, truth
from tvseg.ops.kernels import triton_kernel
from tvseg.ops.memory_layout import weight_layout

ROOT = Path(__file__).resolve().parents[3]
TYPICAL = Case(3, 2, 2, (3, 5, 7, 4))
OTHER_DTYPES = (torch.float32, torch.float16)


def hold_numerics(*chosen: str, **environment: str) -> None:
    """Run some of triton_numerics.py in a process of its own: they must pass, none may skip."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *chosen,
         "tests/ops/kernels/triton_numerics.py"],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert re.match(r"\d+ passed", last), last
    assert "skipped" not in last


@pytest.mark.parametrize("tier", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_numbers_in_triton_s_interpreter(tier: str) -> None:
    pytest.importorskip("triton", reason="needs triton, which comes with torch for CUDA")
    hold_numerics("-m", tier, TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and TVSEG_TEST_CUDA=1")
def test_numbers_on_the_gpu() -> None:
    hold_numerics(TRITON_INTERPRET="0")


class Compiler:
    """Stands where a compiled function is called; compiles for an H100 what would be launched."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.machine_code: list[Any] = []

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        return self.launch

    def launch(self, *arguments: Any, **options: Any) -> None:
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource, make_backend
        from triton.runtime.jit import create_function_from_signature

        target = GPUTarget("cuda", 90, 32)
        backend, function = make_backend(target), self.function
        bind = create_function_from_signature(function.signature, function.params, backend)
        bound, kinds, rest = bind(*arguments, **options, debug=False)
        settings, *source = function._pack_args(backend, rest, bound, kinds, rest)
        compiled = triton.compile(
            ASTSource(function, *source), target=target, options=settings.__dict__
        )
        self.machine_code.append(compiled)


@pytest.fixture
def compilers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Compiler]:
    """In the place of the two functions that are launched."""
    pytest.importorskip("triton", reason="needs triton, which comes with torch for CUDA")
    from tvseg.ops.kernels import triton_tiles

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(triton_kernel, "_compiled", lambda: triton_tiles)
    found = []
    for name in ("_sum", "_spread"):
        compiler = Compiler(getattr(triton_tiles, name))
        monkeypatch.setattr(triton_tiles, name, compiler)
        found.append(compiler)
    return found


@pytest.mark.parametrize("stride", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, *(pytest.param(d, marks=pytest.mark.slow) for d in OTHER_DTYPES)]
)
@pytest.mark.parametrize("layout", ["channels_last", "contiguous"])
def test_machine_code_without_a_gpu(
    layout: str, dtype: torch.dtype, stride: int, compilers: list[Compiler]
) -> None:
    case = Case(3, stride, 1, (4, 64, 16, 16))
    x, weight, grad = draw(case, dtype, layout)
    weight = weight_layout(weight.transpose(0, 1).contiguous().transpose(0, 1), _format(layout))
    triton_kernel.forward(x, weight, stride, 1)
    triton_kernel.grad_input(grad, weight, (16, 16), stride, 1)
    triton_kernel.grad_weight(grad, x, weight, stride, 1)
    compiled = [code.asm for compiler in compilers for code in compiler.machine_code]
    assert len(compiled) == 3
    for code in compiled:
        assert code["cubin"]  # the assembler took it
        moves = set(re.findall(r"\b(?:ld|st)\.global[\w.]*", code["ptx"]))
        if dtype == torch.bfloat16:  # which the interpreter cuts off
            assert "cvt.rn.bf16" in code["ptx"]
        if layout == "channels_last":  # 16 bytes a thread, or 8
            assert moves
            assert moves <= {f"{way}.global.v{n}.b32" for way in ("ld", "st") for n in (2, 4)}


def _format(layout: str) -> torch.memory_format:
    return torch.channels_last if layout == "channels_last" else torch.contiguous_format


@pytest.mark.parametrize("reason", ["not installed", "no compiler"])
def test_without_triton_torch_computes_and_says_so_once(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "not installed":
        monkeypatch.setitem(sys.modules, "triton", None)
    else:
        triton = pytest.importorskip("triton", reason="needs triton")

        def fail(_: object) -> None:
            raise RuntimeError("Failed to find C compiler.\nPlease")

        monkeypatch.setattr(type(triton.runtime.driver), "active", property(fail))
    x, weight, grad = draw(TYPICAL, torch.float32, "channels_last")
    triton_kernel._compiled.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="plain torch on the GPU.*pip install triton"):
            out = triton_kernel.forward(x, weight, 2, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            grad_x = triton_kernel.grad_input(grad, weight, x.shape[2:], 2, 2)
            grad_weight = triton_kernel.grad_weight(grad, x, weight, 2, 2)
    finally:
        triton_kernel._compiled.cache_clear()
    wanted = truth(x, weight, grad, stride=2, dilation=2)
    assert_all_close((out, grad_x, grad_weight), wanted, torch.float32)
