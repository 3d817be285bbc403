"""The compiled kernel: every channel's lane, its cache on disk, and machines without numba."""

import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.ops.tv_conv_parity import Case, assert_all_close, draw, truth
from tvseg.ops import tv_conv2d
from tvseg.ops.kernels import torch_kernel
from tvseg.ops.kernels.numba import kernel as numba_kernel
from tvseg.ops.memory_layout import element_like

TYPICAL = Case(3, 2, 2, (3, 37, 9, 6))


def results(x: Tensor, weight: Tensor, grad: Tensor, case: Case) -> tuple[Tensor, Tensor, Tensor]:
    steps = case.stride, case.dilation
    return (
        numba_kernel.forward(x, weight, *steps),
        numba_kernel.grad_input(grad, weight, case.shape[2:], *steps),
        numba_kernel.grad_weight(grad, x, weight, *steps),
    )


@pytest.fixture
def no_torch_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that the compiled loops do not serve themselves fails."""
    for name in ("forward", "grad_input", "grad_weight"):
        monkeypatch.delattr(torch_kernel, name)


@pytest.mark.usefixtures("no_torch_kernel")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 2, 17])
@pytest.mark.parametrize("channels", [2, 15, 16, 17, 31, 32, 33, 64, 1921])
def test_every_lane_equals_the_reference(channels: int, batch: int, dtype: torch.dtype) -> None:
    case = Case(3, 1, 1, (batch, channels, 3, 2))
    tensors = draw(case, dtype, "channels_last")
    wanted = truth(*tensors, stride=1, dilation=1)
    assert_all_close(results(*tensors, case), wanted, dtype)


@pytest.mark.usefixtures("no_torch_kernel", "blocks")
@pytest.mark.parametrize("size", [(1, 15), (1, 16), (17, 1), (4, 4), (5, 7), (16, 16), (3, 40)])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 3)])
def test_every_size_equals_the_reference(
    size: tuple[int, int], kernel_size: int, dilation: int
) -> None:
    case = Case(kernel_size, 1, dilation, (3, 2, *size))
    tensors = draw(case, torch.float32, "channels_last")
    wanted = truth(*tensors, stride=1, dilation=dilation)
    assert_all_close(results(*tensors, case), wanted, torch.float32)


@pytest.mark.usefixtures("no_torch_kernel", "blocks")
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_every_geometry_equals_the_reference(kernel_size: int, stride: int, dilation: int) -> None:
    case = Case(kernel_size, stride, dilation, (3, 33, 7, 4))
    tensors = draw(case, torch.float32, "channels_last")
    wanted = truth(*tensors, stride=stride, dilation=dilation)
    assert_all_close(results(*tensors, case), wanted, torch.float32)


@pytest.mark.usefixtures("no_torch_kernel")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_weights_and_gradients_at_the_padding_reach_nothing(value: float) -> None:
    case = Case(3, 1, 1, (3, 17, 4, 5))
    x, weight, grad = draw(case, torch.float32, "channels_last")
    weight[:, :3, 0] = value  # the row above row 0
    out, grad_x, _ = results(x, weight, grad, case)
    assert out.isfinite().all()
    assert grad_x.isfinite().all()
    grad[:, :, 0] = value
    *_, grad_weight = results(x, weight, grad, case)
    assert not grad_weight[:, :3, 0].any()


def test_a_gradient_of_another_type_is_converted() -> None:
    x, weight, grad = draw(TYPICAL, torch.float32, "channels_last")
    grad = grad.bfloat16()
    wanted = numba_kernel.grad_weight(grad.float(), x, weight, 2, 2)
    assert torch.equal(numba_kernel.grad_weight(grad, x, weight, 2, 2), wanted)


def test_bfloat16_is_rounded_as_torch_rounds() -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    x = bits.view(torch.bfloat16).reshape(1, 256, 16, 16).to(memory_format=torch.channels_last)
    weight = x.flip(1).roll(100, dims=2)[0].unsqueeze(1)
    wanted = (x.float() * weight[:, 0].float()).bfloat16()
    given = numba_kernel.forward(x, weight, 1, 1)
    torch.testing.assert_close(given, wanted, rtol=0, atol=0, equal_nan=True)


def test_a_share_writes_its_own_pixels_and_nothing_else() -> None:
    from tvseg.ops.kernels.numba.channels_last import make_plan, sum_pixels

    channels_last = torch.channels_last
    source = torch.ones(3, 17, 3, 4).contiguous(memory_format=channels_last)
    weight = torch.ones(9, 17, 3, 4).contiguous(memory_format=channels_last)
    result = torch.full_like(source, 7)
    plan = make_plan(source.shape, source.shape, 9, (1, 1), 1, 2, transposed=False, split=True)
    like = element_like(torch.float32), element_like(torch.float32)
    addresses = weight.data_ptr(), source.data_ptr(), result.data_ptr()
    steps, sizes = (12 * 17, 4 * 17, 17), (17, 3, 4)
    sum_pixels(
        like, addresses, steps, plan.rows, plan.columns, False, sizes, (1, 2), (2, 4),
        plan.tile,
    )  # fmt: skip
    untouched = result == 7
    assert not untouched[1, :, 1].any()  # tiles 2 and 3 of two pixels: the second of three rows
    untouched[1, :, 1] = True
    assert untouched.all()


@pytest.mark.parametrize("reason", ["not installed", "switched off"])
def test_without_numba_torch_computes_and_says_so_once(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numba

    if reason == "not installed":
        monkeypatch.setitem(sys.modules, "numba", None)
    else:
        monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    numba_kernel._compiled.cache_clear()
    x, weight, grad = draw(TYPICAL, torch.float32, "channels_last")
    try:
        with pytest.warns(RuntimeWarning, match="pip install numba"):
            first = numba_kernel.forward(x, weight, 2, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rest = results(x, weight, grad, TYPICAL)
    finally:
        numba_kernel._compiled.cache_clear()
    wanted = truth(x, weight, grad, stride=2, dilation=2)
    assert_all_close((first, *rest), (wanted[0], *wanted), torch.float32)


@pytest.mark.parametrize("method", ["ensure_cache_path", "save"])
def test_code_that_cannot_be_kept_on_disk_is_compiled_all_the_same(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from numba.core import caching

    from tvseg.ops.kernels.numba.pixel_loops import compiled

    def refuse(*_: object) -> None:
        raise OSError("there is no place for it")

    def fill(ones: np.ndarray) -> None:
        ones[:] = 1

    if method == "ensure_cache_path":  # a folder that cannot be written to
        monkeypatch.setattr(caching._CacheLocator, method, refuse)
        call = compiled(fill)
    else:  # a disk that fills up afterwards
        call = compiled(fill)
        monkeypatch.setattr(caching.IndexDataCacheFile, "save", refuse)
    given = np.zeros(3)
    call(given)
    assert given.all()


_MODULE = """
from tvseg.ops.kernels.numba.pixel_loops import compiled

@compiled
def fill(ones):
    ones[:] = 1
"""


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [b"", b"\x80\x04", b"\xff" * 1000, None])
def test_damaged_code_on_disk_is_compiled_anew(
    damage: bytes | None, suffix: str, tmp_path: Path
) -> None:
    (tmp_path / "loops.py").write_text(_MODULE)

    def fill() -> None:
        given = np.zeros(3)
        runpy.run_path(str(tmp_path / "loops.py"))["fill"](given)
        assert given.all()

    fill()
    (file,) = tmp_path.rglob(f"*.{suffix}")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    fill()
    assert len(file.read_bytes()) > len(whole) // 2 + 100  # mended for the next process


def test_what_the_loops_do_not_serve_is_torch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("the compiled loops were asked")

    monkeypatch.setattr(numba_kernel, "_compiled", refuse)
    for dtype, layout in (
        (torch.float64, "channels_last"), (torch.float16, "channels_last"),
        (torch.float32, "contiguous"),
    ):  # fmt: skip
        x, weight, grad = draw(TYPICAL, dtype, layout)
        results(x, weight, grad, TYPICAL)
    x, weight, _ = draw(TYPICAL, torch.float32, "channels_last")
    with pytest.raises(AssertionError, match="asked"):
        tv_conv2d(x, weight, stride=2, dilation=2)
