"""The seam between the operator and its kernels."""

from dataclasses import replace

import pytest
import torch

from tests.ops.tv_conv_parity import Case, draw
from tvseg.ops import kernels, tv_conv2d
from tvseg.ops.memory_layout import weight_layout


def test_the_preferred_kernel_serves_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_kernel, calls = kernels.KERNELS["torch"], []

    def recorded(name: str) -> object:
        def call(*arguments: object) -> torch.Tensor:
            calls.append(name)
            return getattr(torch_kernel, name)(*arguments)

        return call

    names = ("forward", "grad_input", "grad_weight")
    spy = replace(torch_kernel, **{name: recorded(name) for name in names})
    monkeypatch.setitem(kernels.KERNELS, "spy", spy)
    x, weight, grad = draw(Case(3, 1, 1, (2, 3, 4, 5)), torch.float32)
    x, weight = x.requires_grad_(), weight.requires_grad_()
    tv_conv2d(x, weight).backward(grad)
    assert calls == []
    monkeypatch.setitem(kernels.PREFERRED, "cpu", "spy")
    tv_conv2d(x, weight).backward(grad)
    assert calls == list(names)


def test_every_preferred_kernel_serves_its_device() -> None:
    for device_type in kernels.PREFERRED:
        devices = kernels.kernel_for(torch.device(device_type)).devices
        assert devices is None or device_type in devices


def test_a_kernel_is_not_asked_on_a_device_that_it_does_not_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(kernels.PREFERRED, "cpu", "triton")
    x, weight, _ = draw(Case(3, 1, 1, (2, 3, 4, 5)), torch.float32)
    with pytest.raises(ValueError, match=r"'triton' does so on \('cuda',\): put another"):
        tv_conv2d(x, weight)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_weights_are_copied_only_into_the_other_layout(layout: torch.memory_format) -> None:
    innermost = {torch.contiguous_format: 3, torch.channels_last: 0}
    for format_, axis in innermost.items():
        tap_major = torch.randn(9, 3, 4, 5).contiguous(memory_format=format_).transpose(0, 1)
        given = weight_layout(tap_major, layout)
        assert torch.equal(given, tap_major)
        assert given.stride(innermost[layout]) == 1
        assert (given is tap_major) == (axis == innermost[layout])
