"""Every refusal of the function and the module, by its message."""

import numpy as np
import pytest
import torch

from tvseg.ops import TVConv2d, tv_conv2d


def weight(channels: int = 3, taps: int = 9, height: int = 6, width: int = 4) -> torch.Tensor:
    return torch.ones(channels, taps, height, width)


MAPS = torch.ones(2, 3, 6, 4)


@pytest.mark.parametrize(
    ("x", "kernels", "steps", "message"),
    [
        (MAPS[0], weight(), {}, r"x must have four axes.*\(3, 6, 4\)"),
        (MAPS[:, :, :0], weight(), {}, "at least one channel and pixel"),
        (MAPS, weight()[0], {}, r"weight must have four axes.*\(9, 6, 4\)"),
        (MAPS, weight(taps=4), {}, r"k\*k taps for an odd k.*got 4"),
        (MAPS, weight(taps=8), {}, r"k\*k taps for an odd k.*got 8"),
        (MAPS, weight(taps=0), {}, r"k\*k taps for an odd k.*got 0"),
        (MAPS, weight().to("meta"), {}, "same device, got cpu and meta"),
        (MAPS, weight(channels=2), {}, "weight is for 2 channels, x has 3"),
        (MAPS, weight(channels=1), {}, "weight is for 1 channels, x has 3"),
        (MAPS, weight(height=5), {}, r"for a \(5, 4\) output, x gives \(6, 4\): build"),
        (MAPS, weight(), {"stride": 2}, r"for a \(6, 4\) output, x gives \(3, 2\): build"),
        (MAPS, weight(height=1, width=1), {}, r"for a \(1, 1\) output, x gives \(6, 4\): build"),
        (MAPS, weight(height=4, width=6), {}, r"\(6, 4\); height and width are swapped"),
        (MAPS.double(), weight(), {}, r"got torch\.float64 and torch\.float32"),
        (MAPS.bfloat16(), weight(), {}, "same dtype, or be float32 and bfloat16, got torch.bf"),
        (MAPS, weight().half(), {}, "same dtype, or be float32 and bfloat16, got .*float16:"),
        (MAPS.long(), weight().long(), {}, r"x must be of one of .*, got torch\.int64"),
        (MAPS, weight(), {"stride": 0}, "stride must be a whole number from 1 on, got 0"),
        (MAPS, weight(), {"dilation": -1}, "dilation must be a whole number from 1 on, got -1"),
    ],
)
def test_function_refuses(
    x: torch.Tensor, kernels: torch.Tensor, steps: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tv_conv2d(x, kernels, **steps)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel_size": 4}, r"kernel_size must be odd and positive.*got 4"),
        ({"kernel_size": -1}, "kernel_size must be a whole number from 1 on, got -1"),
        (
            {"kernel_size": (3, 5)},
            r"kernel_size must be the same for rows and columns, got \(3, 5\)",
        ),
        ({"kernel_size": 3.0}, r"kernel_size must be a whole number from 1 on, got 3\.0"),
        ({"output_size": (6, 4, 2)}, r"output_size must be one int or \(height, width\)"),
        ({"output_size": 0}, "output_size must be .* from 1 on, got 0"),
        ({"output_size": 6.0}, r"output_size must be one int or .*, got 6\.0"),
        ({"output_size": (6, 4.0)}, r"output_size must be one int or .*, got \(6, 4\.0\)"),
        ({"output_size": "6"}, "output_size must be one int or .*, got '6'"),
        ({"channels": 3.0}, r"channels must be a whole number from 1 on, got 3\.0"),
        ({"stride": (1, 2)}, r"stride must be the same for rows and columns, got \(1, 2\)"),
        ({"stride": (1, 1, 1)}, r"stride must be a whole number from 1 on, got \(1, 1, 1\)"),
        ({"dilation": None}, "dilation must be a whole number from 1 on, got None"),
        ({"channels": 0}, "channels must be a whole number from 1 on, got 0"),
        ({"affinity_channels": 0}, "affinity_channels must be"),
        ({"hidden_channels": 0}, "hidden_channels must be"),
        ({"hidden_layers": -1}, "hidden_layers must be a whole number from 0 on, got -1"),
        ({"stride": 0}, "stride must be"),
        ({"dilation": 0}, "dilation must be"),
        ({"resize": "nearest"}, "resize must be one of error, bilinear, got 'nearest'"),
    ],
)
def test_module_refuses_to_be_built(changed: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"channels": 3, "output_size": (6, 4)}
    with pytest.raises(ValueError, match=message):
        TVConv2d(**(arguments | changed))


@pytest.mark.parametrize("seven", [7, (7, 7), [7, 7], np.int64(7), (np.int32(7), 7)], ids=repr)
def test_module_takes_what_other_layers_keep(seven: object) -> None:
    step = type(seven)((2, 2)) if isinstance(seven, tuple | list) else type(seven)(2)
    given = TVConv2d(np.int64(3), seven, kernel_size=seven, stride=step, dilation=step)
    plain = TVConv2d(3, 7, kernel_size=7, stride=2, dilation=2)
    assert repr(given) == repr(plain)
    assert given.output_size == (7, 7)
    x = torch.ones(1, 3, 13, 14)
    assert given(x).shape == plain(x).shape
    weight = plain.weight()
    out = tv_conv2d(x, weight, stride=step, dilation=step)
    assert torch.equal(out, tv_conv2d(x, weight, stride=2, dilation=2))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 6, 4), "x must have four axes"),
        ((2, 2, 6, 4), "weight is for 3 channels, x has 2"),
        ((2, 3, 4, 6), r"for a \(6, 4\) output, x gives \(4, 6\); height and width are swapped"),
        ((2, 3, 12, 8), r"for a \(6, 4\) output, x gives \(12, 8\): build .* resize=\"bilinear\""),
    ],
)
def test_module_refuses_maps(shape: tuple[int, ...], message: str) -> None:
    module = TVConv2d(3, (6, 4), hidden_channels=4)
    with pytest.raises(ValueError, match=message):
        module(torch.ones(shape))


def test_freeze_refuses_a_training_module() -> None:
    with pytest.raises(ValueError, match=r"call eval\(\) first"):
        TVConv2d(3, 4, hidden_channels=4).freeze()


def test_second_derivative_is_refused() -> None:
    x = torch.ones(1, 1, 3, 3, requires_grad=True)
    out = tv_conv2d(x, torch.ones(1, 9, 3, 3, requires_grad=True))
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="tv_conv2d_grad_input"):
        first.sum().backward()
