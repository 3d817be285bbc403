"""The operators against loops over pixels, in cases that the original code's numbers leave out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.models import reference_operators as loops
from tvseg.errors import UsageError
from tvseg.models import build_model
from tvseg.models.operators.axial import AxialAttention, by_offset
from tvseg.models.operators.dynamic_conv import DynamicPointwise, set_temperature
from tvseg.models.operators.involution import Involution
from tvseg.models.operators.sasa import StandAloneSelfAttention
from tvseg.models.spatial import POINTWISE, SPATIAL, operator_names, spatial_operator

Loop = Callable[..., Tensor]
LOOPS: dict[str, Loop] = {
    "condconv": loops.condconv,
    "weightnet": loops.weightnet,
    "dyconv_dw": loops.dyconv_dw,
    "involution": loops.involution,
    "ddf": loops.ddf,
    "sasa": loops.sasa,
    "axial": loops.axial,
}
GEOMETRIES = {
    # channels, (height, width), kernel size, stride, dilation
    "odd": (12, (5, 4), 3, 1, 1),
    "stride": (16, (4, 5), 3, 2, 1),
    "kernel": (6, (5, 6), 5, 2, 1),
    "dilation": (8, (6, 5), 3, 1, 2),
}
CASES = [
    pytest.param(name, *geometry, id=f"{name}-{kind}")
    for name in LOOPS
    for kind, geometry in GEOMETRIES.items()
    if (name, kind) != ("axial", "dilation")  # has none
]


def test_every_operator_has_a_loop() -> None:
    assert set(LOOPS) == set(SPATIAL) - {"depthwise", "tvconv"}  # these have theirs in tests/ops


def drawn(layer: nn.Module, *, training: bool) -> nn.Module:
    """All parameters and statistics drawn, so that no term is zero or one."""
    with torch.no_grad():
        for name, value in layer.state_dict().items():
            if value.is_floating_point():
                value.normal_()
                value.abs_().add_(0.5) if "var" in name or "temperature" in name else value.mul_(
                    0.5
                )
    return layer.double().train(training)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "channels", "size", "kernel_size", "stride", "dilation"), CASES)
def test_outputs_and_gradients_are_the_loops(
    name: str,
    channels: int,
    size: tuple[int, int],
    kernel_size: int,
    stride: int,
    dilation: int,
    training: bool,
) -> None:
    torch.manual_seed(0)
    layer = drawn(
        spatial_operator(name)(
            channels, size=size, kernel_size=kernel_size, stride=stride, dilation=dilation
        ),
        training=training,
    )
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    inputs = [x, *layer.parameters()]
    wanted = LOOPS[name](layer, x, stride, dilation)
    out = layer(x)
    torch.testing.assert_close(out, wanted, rtol=1e-10, atol=1e-10)
    cotangent = torch.randn_like(out)
    for given, right in zip(
        torch.autograd.grad(out, inputs, cotangent),
        torch.autograd.grad(wanted, inputs, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(given, right, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", list(SPATIAL))
def test_maps_of_another_size_are_taken(name: str) -> None:
    layer = spatial_operator(name)(16, size=(6, 6), stride=2)
    assert layer(torch.zeros(2, 16, 9, 7)).shape == (2, 16, 5, 4)


def test_involution_on_channels_that_are_no_multiple_of_a_group() -> None:
    layer = Involution(58, size=(4, 4))
    assert layer.groups == 29
    assert layer(torch.zeros(1, 58, 4, 4)).shape == (1, 58, 4, 4)


@pytest.mark.parametrize("operator", [StandAloneSelfAttention, AxialAttention])
def test_attention_refuses_odd_channels(operator: type[nn.Module]) -> None:
    with pytest.raises(UsageError, match="even number of channels, got 9"):
        operator(9, size=(4, 4))


def test_axial_attention_refuses_a_dilation() -> None:
    with pytest.raises(UsageError, match="no dilation, got 6"):
        build_model(aspp="axial", aspp_dilation="atrous", image_size=64)


def test_embeddings_of_positions_are_resampled_for_longer_lines() -> None:
    embeddings = torch.arange(5.0).expand(8, 5)  # offset + 2, of lines of 3 pixels
    assert by_offset(embeddings, 3)[7, 0].tolist() == [2, 1, 0]
    assert by_offset(embeddings, 5)[7, 4].tolist() == [4, 3.5, 3, 2.5, 2]


def test_the_temperature_falls_from_30_to_1_over_ten_epochs() -> None:
    layer = DynamicPointwise(4, 6)
    assert layer.temperature == 1
    for epoch, wanted in ((1, 30.0), (6, 15.5), (11, 1.0), (40, 1.0)):
        set_temperature(nn.Sequential(layer), epoch)
        assert layer.temperature.item() == pytest.approx(wanted)
    assert "temperature" in layer.state_dict()


@pytest.mark.parametrize("aspp", [name for name in operator_names() if name != "tvconv"])
def test_every_operator_works_in_the_aspp(aspp: str) -> None:
    network = build_model(aspp=aspp, image_size=64)
    logits = network(torch.zeros(2, 3, 64, 96).to(memory_format=torch.channels_last))
    assert logits.shape == (2, 2, 64, 96)
    logits.sum().backward()
    used = [p.grad is not None for p in network.decoder.aspp.wide.parameters()]
    assert used
    assert all(used)
    kinds = {type(layer) for layer in network.decoder.aspp.wide.modules()}
    assert aspp == "depthwise" or {*SPATIAL.values(), *POINTWISE.values()} & kinds
