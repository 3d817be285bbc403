"""The module: parameters, weights, the depthwise limit, bias, other sizes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tvseg.ops import TVConv2d, tv_conv2d
from tvseg.training.affinity_start import coordinate_maps


def module(**changed: object) -> TVConv2d:
    """A small module with uneven affinity maps."""
    torch.manual_seed(0)
    built = TVConv2d(5, (6, 4), **({"hidden_channels": 4, "hidden_layers": 1} | changed))
    nn.init.normal_(built.affinity)
    return built


def maps(height: int = 6, width: int = 4) -> Tensor:
    return torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(1))


def test_parameters_of_the_paper_s_sizes() -> None:
    built = TVConv2d(1920, 16)
    assert sum(parameter.numel() for parameter in built.parameters()) == 10_198_272
    assert set(built.state_dict()) == {name for name, _ in built.named_parameters()}
    assert built.affinity.shape == (4, 16, 16)
    assert (built.affinity == 1).all()


@pytest.mark.parametrize("hidden_layers", [0, 2])
def test_layers_of_the_generator(hidden_layers: int) -> None:
    layers = module(hidden_layers=hidden_layers).generator.layers
    names = [type(layer).__name__ for layer in layers]
    assert names == ["Conv2d", "LayerNorm", "ReLU"] * (1 + hidden_layers) + ["Conv2d"]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert all(layer.bias is None and layer.padding == (1, 1) for layer in convolutions)
    norms = [layer for layer in layers if isinstance(layer, nn.LayerNorm)]
    assert all(layer.normalized_shape == (4, 6, 4) for layer in norms)


@pytest.mark.parametrize("steps", [{}, {"dilation": 2}, {"kernel_size": 5}, {"stride": 2}])
def test_forward_applies_the_weights(steps: dict[str, int]) -> None:
    built = module(**steps)
    stride, dilation = steps.get("stride", 1), steps.get("dilation", 1)
    x = maps(6 * stride - stride // 2, 4 * stride)
    weight = built.weight()
    assert weight.shape == (5, steps.get("kernel_size", 3) ** 2, 6, 4)
    assert torch.equal(built(x), tv_conv2d(x, weight, stride=stride, dilation=dilation))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_weights_are_tap_major_in_the_parameters_memory_format(layout: torch.memory_format) -> None:
    built = module().to(memory_format=layout)
    innermost = {torch.contiguous_format: 3, torch.channels_last: 0}[layout]
    weight = built.weight()
    assert weight.stride(innermost) == 1
    assert weight.transpose(0, 1).flatten(0, 1)._base is not None  # joins without a copy


def test_every_parameter_learns() -> None:
    built = module(bias=True)
    built(maps()).square().sum().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("hidden_layers", [0, 2])
def test_constant_affinity_is_a_depthwise_convolution(
    hidden_layers: int, stride: int, dilation: int
) -> None:
    torch.manual_seed(0)
    built = TVConv2d(
        5,
        (14, 12),
        stride=stride,
        dilation=dilation,
        hidden_channels=8,
        hidden_layers=hidden_layers,
    )
    x = torch.randn(2, 5, 14 * stride, 12 * stride)
    weight = built.weight()
    kernel = weight[:, :, 7, 6].reshape(5, 1, 3, 3)
    wanted = functional.conv2d(
        x, kernel, stride=stride, padding=dilation, dilation=dilation, groups=5
    )
    border = hidden_layers + 2
    inner = (..., slice(border, -border), slice(border, -border))
    torch.testing.assert_close(built(x)[inner], wanted[inner], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weight[..., 0, 0], weight[..., 7, 6], rtol=1e-2)  # the border differs
    nn.init.normal_(built.affinity)
    assert not torch.allclose(built(x)[inner], wanted[inner], rtol=1e-2)


@pytest.mark.parametrize("padding", ["zeros", "replicate"])
@pytest.mark.parametrize("affinity", [torch.ones_like, torch.randn_like])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_layer_begins_as_a_depthwise_convolution(
    kernel_size: int, affinity: Callable[[Tensor], Tensor], padding: str
) -> None:
    built = module(kernel_size=kernel_size, generator_padding=padding)
    built.affinity.data = affinity(built.affinity)
    before = {name: value.clone() for name, value in built.state_dict().items()}
    depthwise = nn.Conv2d(5, 5, kernel_size, padding=kernel_size // 2, groups=5, bias=False)
    built.begin_as(depthwise.weight)
    torch.testing.assert_close(built(maps()), depthwise(maps()), rtol=1e-4, atol=1e-4)
    changed = {name for name, value in built.state_dict().items() if not value.equal(before[name])}
    assert changed == {"generator.layers.6.weight"}
    if padding == "zeros" or affinity is torch.randn_like:  # some pixels differ
        built(maps()).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in built.parameters())


@pytest.mark.parametrize("size", [16, 24])
def test_kernels_are_fitted_by_small_weights(size: int) -> None:
    torch.manual_seed(1)  # at 24, all singular values taken in would make weights of 100,000
    built = TVConv2d(4, size)
    built.affinity.data = coordinate_maps((4, size, size))
    depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
    x = torch.randn(1, 4, size, size)
    built.eval().freeze()
    built.begin_as(depthwise.weight)
    assert not built.frozen
    assert built.generator.layers[-1].weight.abs().max() < 1
    for dtype, tolerance in ((torch.float32, 0.02), (torch.bfloat16, 0.05)):
        difference = built.to(dtype)(x.to(dtype)) - depthwise(x)
        assert difference.abs().max() < tolerance * depthwise(x).abs().max()


def test_a_kept_copy_is_dropped_where_no_version_tells_that_it_is_old() -> None:
    with torch.inference_mode():
        built = module().eval().freeze()
        built.begin_as(torch.zeros(5, 1, 3, 3))
        assert not built.frozen
        assert built(maps()).abs().max() < 1e-4


def test_a_layer_begins_as_near_as_its_generator_can() -> None:
    torch.manual_seed(0)
    built = TVConv2d(5, 16, hidden_channels=2, hidden_layers=0)
    nn.init.normal_(built.affinity)  # 256 pixels, 18 weights for each tap
    built.begin_as(torch.ones(5, 1, 3, 3))
    missing = (built.weight() - 1).square().sum()
    last = built.generator.layers[-1].weight
    for _ in range(20):
        change = 0.01 * torch.randn_like(last)
        last.data += change
        assert (built.weight() - 1).square().sum() > missing
        last.data -= change


def test_kernels_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 1, 3, 3\), got \(4, 1, 3, 3\)"):
        module().begin_as(torch.ones(4, 1, 3, 3))


def test_bias_starts_at_zero_and_is_added_per_pixel() -> None:
    built = module(bias=True)
    assert built.bias is not None
    without = built(maps())
    torch.testing.assert_close(without, tv_conv2d(maps(), built.weight()))
    nn.init.normal_(built.bias)
    torch.testing.assert_close(built(maps()), without + built.bias)
    assert module().bias is None


def test_bilinear_resamples_weights_and_bias() -> None:
    built = module(resize="bilinear", bias=True)
    nn.init.normal_(built.bias)
    x = maps(9, 10)
    weight = functional.interpolate(built.weight(), (9, 10), mode="bilinear")
    bias = functional.interpolate(built.bias.unsqueeze(0), (9, 10), mode="bilinear")
    torch.testing.assert_close(built(x), tv_conv2d(x, weight) + bias)
    torch.testing.assert_close(built(maps()), tv_conv2d(maps(), built.weight()) + built.bias)


def test_gradient_through_resampled_weights() -> None:
    built = module(resize="bilinear")
    built(maps(3, 5)).square().sum().backward()
    assert built.affinity.grad is not None
    assert built.affinity.grad.abs().sum() > 0


def test_replicate_padding_tells_no_positions_apart() -> None:
    def varies(**changed: object) -> float:
        built = module(**changed)
        nn.init.ones_(built.affinity)
        return built.weight().std(dim=(2, 3)).max().item()

    assert varies() > 1e-2
    assert varies(generator_padding="replicate") < 1e-6
    plain, other = module(), module(generator_padding="replicate")
    assert plain.state_dict().keys() == other.state_dict().keys()
    with pytest.raises(ValueError, match='"zeros" or "replicate", got \'reflect\''):
        module(generator_padding="reflect")


def test_a_dynamic_bias_is_zero_at_first_and_then_of_each_image() -> None:
    plain, built = module(resize="bilinear"), module(resize="bilinear", dynamic_bias=True)
    built.load_state_dict(plain.state_dict(), strict=False)
    x = maps()
    assert torch.equal(built(x), plain(x))
    built(x).square().sum().backward()
    assert built.dynamic_bias is not None
    assert built.dynamic_bias.scale.grad is not None
    assert built.dynamic_bias.scale.grad.abs().min() > 0
    nn.init.ones_(built.dynamic_bias.scale)
    for size in ((6, 4), (9, 10)):
        x = maps(*size)
        bias = built(x) - plain(x)
        assert bias.shape == x.shape
        assert not torch.allclose(bias[0], bias[1])
        assert float(bias.detach().std(dim=(2, 3)).min()) > 0
        frozen = built.eval().freeze()
        torch.testing.assert_close(frozen(x), plain(x) + bias)
        built.train()


@pytest.mark.parametrize("steps", [{}, {"dilation": 2}, {"kernel_size": 5}, {"stride": 2}])
def test_alignment_is_the_identity_at_first(steps: dict[str, int]) -> None:
    plain, built = module(**steps), module(align=True, **steps)
    built.load_state_dict(plain.state_dict(), strict=False)
    x = maps(6 * plain.stride, 4 * plain.stride)
    torch.testing.assert_close(built(x), plain(x), rtol=1e-4, atol=1e-4)
    frozen = built.eval().freeze()
    torch.testing.assert_close(frozen(x), plain(x), rtol=1e-4, atol=1e-4)


def test_alignment_moves_the_kernels_of_each_image() -> None:
    built = module(align=True)
    assert built.alignment is not None
    nn.init.ones_(built.alignment.scale)
    x = maps()
    shift = torch.zeros(2, 6)
    shift[0, 2] = 2 / 4  # one of four columns, in affine_grid's units of half the width
    built.alignment.layers = nn.Identity()
    built.alignment.layers.forward = lambda pooled: shift  # type: ignore[method-assign]
    moved = built(x)
    weight = built.weight()
    beside = torch.cat([weight[..., 1:], weight[..., -1:]], dim=3)
    torch.testing.assert_close(moved[0], tv_conv2d(x, beside)[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved[1], tv_conv2d(x, weight)[1], rtol=1e-4, atol=1e-4)


def test_alignment_learns_from_its_first_step_on() -> None:
    built = module(align=True)
    built(maps()).square().sum().backward()
    assert built.alignment is not None
    assert built.alignment.scale.grad is not None
    assert built.alignment.scale.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.ones(1, 3, 6, 4), "weight is for 5 channels, x has 3"),
        (torch.ones(1, 5, 6, 4, dtype=torch.float64), r"got torch\.float64 and torch\.float32"),
    ],
)
def test_alignment_refuses_what_the_operator_refuses(x: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module(align=True)(x)
