"""The frozen copy: what keeps it, what drops it, how it lies in memory."""

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.ops.test_tv_conv_module import maps, module
from tvseg.ops import TVConv2d, tv_conv2d
from tvseg.ops import memory_layout as layout_module


def shift(built: TVConv2d) -> None:
    """Change the parameters in a way that a frozen copy does not notice."""
    built.generator.layers[-1].weight.data.add_(1.0)


def frozen(**changed: object) -> TVConv2d:
    """A module whose copies, at its own size and at another, are older than its parameters."""
    built = module(resize="bilinear", **changed).eval().freeze()
    built(maps(9, 10))
    shift(built)
    return built


def fresh(built: TVConv2d, x: Tensor) -> Tensor:
    """What the parameters give."""
    weight = built.generator(built.affinity)
    if x.shape[2:] != weight.shape[2:]:
        weight = functional.interpolate(weight, x.shape[2:], mode="bilinear")
    return tv_conv2d(x, weight)


@pytest.mark.parametrize("size", [(6, 4), (9, 10)])
def test_freeze_keeps_the_weights(size: tuple[int, int]) -> None:
    untouched, built = module(resize="bilinear"), frozen()
    x = maps(*size)
    torch.testing.assert_close(built(x), untouched(x))
    assert not torch.allclose(built(x), fresh(built, x))
    assert built.frozen
    assert not untouched.frozen


@pytest.mark.parametrize("size", [(6, 4), (9, 10)])
@pytest.mark.parametrize(
    "action",
    [
        lambda built: built.train(),
        lambda built: built.load_state_dict(built.state_dict()),
        lambda built: nn.Sequential(built).load_state_dict(nn.Sequential(built).state_dict()),
        lambda built: built.to(torch.float32),
        lambda built: nn.Sequential(built).double().float(),
        lambda built: built.to(memory_format=torch.channels_last),
        lambda built: built.unfreeze(),
        lambda built: built.freeze(),
    ],
    ids=["train", "load", "load within", "to", "cast within", "memory format", "unfreeze", "again"],
)
def test_what_drops_the_copies(action: Callable[[TVConv2d], object], size: tuple[int, int]) -> None:
    built, x = frozen(), maps(*size)
    action(built)
    torch.testing.assert_close(built(x), fresh(built, x))


def average(built: TVConv2d) -> TVConv2d:
    """A moving average that was frozen, as for validation, and then updated."""
    averaged = AveragedModel(built, multi_avg_fn=get_ema_multi_avg_fn(0.5)).eval()
    averaged.module.freeze()
    averaged.module(maps())
    shift(built)
    averaged.update_parameters(built)  # the first copies
    averaged.module.freeze()
    averaged.module(maps())
    shift(built)
    averaged.update_parameters(built)  # the second averages
    return averaged.module


def step(built: TVConv2d) -> TVConv2d:
    """A module whose optimiser steps in eval mode."""
    built.eval().freeze()
    optimizer = torch.optim.Adam(built.parameters(), lr=1.0)
    for parameter in built.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return built


def load_in_place(built: TVConv2d) -> TVConv2d:
    """A module whose parameters are copied one by one, as libraries of averages do."""
    built.eval().freeze()
    for value in built.state_dict().values():
        value.copy_(torch.randn_like(value))
    return built


@pytest.mark.parametrize("size", [(6, 4), (9, 10)])
@pytest.mark.parametrize("change", [average, step, load_in_place])
def test_old_weights_are_not_used(
    change: Callable[[TVConv2d], TVConv2d], size: tuple[int, int]
) -> None:
    built, x = change(module(resize="bilinear")), maps(*size)
    assert built.frozen_bytes
    assert not built.frozen
    for changed in (built, copy.deepcopy(built), pickle.loads(pickle.dumps(built))):
        torch.testing.assert_close(changed(x), fresh(built, x))
        assert changed.freeze().frozen
        torch.testing.assert_close(changed(x), fresh(built, x))


def copy_for(built: TVConv2d, x: Tensor) -> Tensor:
    """The frozen copy that a forward pass of x reads."""
    return built.frozen_weights.copy_for(x, tuple(x.shape[2:]), built._resample)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("first", [1, 5])
def test_copies_are_laid_out_as_the_maps_and_the_kernel_ask(
    first: int, layout: torch.memory_format, kernel: str
) -> None:
    built = module(resize="bilinear").to(memory_format=layout).eval().freeze()
    innermost = {torch.contiguous_format: 3, torch.channels_last: 0}[layout]
    for size in ((6, 4), (9, 10)):
        for batch in (first, 6 - first):  # a warm-up of one image decides nothing for five
            x = maps(*size)[:1].expand(batch, -1, -1, -1).contiguous(memory_format=layout)
            torch.testing.assert_close(built(x), fresh(built, x))
            kept = copy_for(built, x)
            assert kept.stride(innermost) == 1
            taps_together = (kernel, layout, batch) == ("numba", torch.channels_last, 5)
            assert (kept.stride(1) == kept.shape[0]) == taps_together
            assert (kept.stride(1) == max(kept.stride())) != taps_together
            assert copy_for(built, x).data_ptr() == kept.data_ptr()  # laid out once


def test_one_layout_takes_the_memory_of_one_copy() -> None:
    built, x = module().eval().freeze(), maps().to(memory_format=torch.channels_last)
    before = built.frozen_bytes
    built(x)
    assert built.frozen_bytes == before
    built(maps())  # contiguous beside channels_last
    assert built.frozen_bytes == 2 * before


def test_a_new_copy_is_laid_out_like_the_first() -> None:
    built, x = module().eval().freeze(), maps().to(memory_format=torch.channels_last)
    built(x)
    built.freeze()(x)
    assert copy_for(built, x).stride(0) == 1


def test_a_compiled_module_reads_the_copy_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the weights are laid out anew in every pass")

    built = module().to(memory_format=torch.channels_last).eval().freeze()
    x = maps().to(memory_format=torch.channels_last)
    wanted = fresh(built, x)
    monkeypatch.setattr(layout_module, "tap_major", refuse)
    torch.compiler.reset()
    compiled = torch.compile(built, fullgraph=True, backend="aot_eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x), wanted)


@pytest.mark.parametrize("size", [(6, 4), (9, 10)])
def test_bfloat16_copies_take_half_the_memory_and_round_weights_alone(
    size: tuple[int, int],
) -> None:
    built, x = module(resize="bilinear").eval(), maps(*size)
    plain, half = built.freeze().frozen_bytes, built.freeze(torch.bfloat16).frozen_bytes
    assert (plain, half) == (4 * 5 * 9 * 24, 2 * 5 * 9 * 24)
    out = built(x)
    assert out.dtype == torch.float32
    weight = built.generator(built.affinity).bfloat16().float()
    if size != (6, 4):
        assert built.frozen_bytes == half + 2 * 5 * 9 * 90
        weight = functional.interpolate(weight, size, mode="bilinear").bfloat16().float()
    torch.testing.assert_close(out, tv_conv2d(x, weight), rtol=2**-8, atol=1e-3)
    assert copy.deepcopy(built).frozen_weights.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_freeze_refuses_other_dtypes(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"torch\.bfloat16 beside float32 .*got torch\.float"):
        module().eval().freeze(dtype)


def test_eval_alone_neither_builds_nor_drops() -> None:
    built = module().eval()
    built(maps())
    assert not built.frozen
    assert frozen().eval().frozen
    assert not frozen().train().eval().frozen


def test_half_recasts_the_weights() -> None:
    built = frozen().half()
    assert not built.frozen
    assert built.freeze().weight().dtype == torch.float16
    assert built(maps().half()).dtype == torch.float16


def test_a_deep_copy_is_frozen_by_itself() -> None:
    built = frozen()
    twin = copy.deepcopy(built)
    assert twin.frozen
    assert torch.equal(twin(maps()), built(maps()))
    twin.load_state_dict(twin.state_dict())
    assert not twin.frozen
    torch.testing.assert_close(twin(maps()), fresh(twin, maps()))
    assert built.frozen
    assert not torch.allclose(twin(maps()), built(maps()))


def save(built: nn.Module) -> bytes:
    stream = io.BytesIO()
    torch.save(built, stream)
    return stream.getvalue()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_copies_are_never_saved(layout: torch.memory_format) -> None:
    built = module().to(memory_format=layout).eval()
    plain, plain_pickle = save(built), pickle.dumps(built)
    x = maps().to(memory_format=layout)
    wanted = built.freeze()(x)
    assert set(built.state_dict()) == {name for name, _ in module().named_parameters()}
    saved, pickled = save(built), pickle.dumps(built)
    assert built.frozen
    assert (len(saved), len(pickled)) == (len(plain), len(plain_pickle))
    loads = (torch.load(io.BytesIO(saved), weights_only=False), pickle.loads(pickled))
    for loaded in loads:
        assert not loaded.frozen
        torch.testing.assert_close(loaded(x), wanted)
        torch.testing.assert_close(loaded.freeze()(x), wanted)


def test_frozen_module_still_hands_gradients_to_its_input() -> None:
    with torch.inference_mode():
        built = module(resize="bilinear").eval().freeze()
        built(maps(9, 10))
    for size in ((6, 4), (9, 10)):
        x = maps(*size).requires_grad_()
        built(x).sum().backward()
        assert x.grad is not None
        assert x.grad.abs().sum() > 0
    assert built.affinity.grad is None


def test_only_the_last_copies_are_kept() -> None:
    built = module(resize="bilinear").eval().freeze()
    before = built.frozen_bytes
    for width in range(5, 15):
        built(maps(6, width))
    assert built.frozen_bytes - before == 4 * 5 * 9 * 6 * (11 + 12 + 13 + 14)


def test_freeze_ignores_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        built = module().eval().freeze()
        assert built(maps()).dtype == torch.bfloat16
    assert built.weight().dtype == torch.float32
    torch.testing.assert_close(built(maps()), fresh(built, maps()))
