"""TVConv and other operators in networks of torchvision, timm and segmentation_models_pytorch."""

from collections.abc import Callable
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.errors import UserError
from tvseg.models import freeze
from tvseg.models.complexity import count_macs
from tvseg.models.operators.dynamic_conv import DynamicPointwise
from tvseg.models.operators.involution import Involution
from tvseg.models.replace import replace_depthwise
from tvseg.ops import TVConv2d

pytestmark = pytest.mark.usefixtures("narrow_tvconv")

EXAMPLE = torch.zeros(1, 3, 64, 96)


class LastMap(nn.Module):
    """The last map of an encoder, averaged."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)[-1].mean((2, 3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "torchvision MobileNetV2": (lambda: torchvision.models.mobilenet_v2(num_classes=5), 17),
    "torchvision ShuffleNetV2": (lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=5), 19),
    "timm ConvNeXt": (lambda: timm.create_model("convnext_atto", num_classes=5), 12),  # biases
    "SMP MobileNetV2": (
        lambda: LastMap(smp.encoders.get_encoder("mobilenet_v2", weights=None)), 17),
}  # fmt: skip


def drawn(build: Callable[[], nn.Module]) -> nn.Module:
    """A network in eval mode whose batch norms have seen images."""
    torch.manual_seed(0)
    network = build()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 96))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


@pytest.mark.parametrize("name", list(NETWORKS))
def test_tvconv_takes_over(name: str, tmp_path: Path) -> None:
    build, count = NETWORKS[name]
    network = drawn(build)
    images = torch.randn(4, 3, 64, 96)
    with torch.no_grad():
        before = network(images)
    macs = count_macs(network, EXAMPLE)
    replace_depthwise(network, "tvconv", example=EXAMPLE)
    assert len([m for m in network.modules() if isinstance(m, TVConv2d)]) == count
    with torch.no_grad():
        torch.testing.assert_close(network(images), before, rtol=0, atol=1e-4)
    freeze(network)
    assert count_macs(network, EXAMPLE) == macs

    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    targets = torch.arange(4) % before.shape[1]
    losses = []
    for _ in range(10):  # in eval mode: batch norm sees no other statistics than before
        loss = F.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1

    torch.save(network.state_dict(), tmp_path / "trained.pt")
    again = replace_depthwise(build(), "tvconv", example=EXAMPLE).eval()
    again.load_state_dict(torch.load(tmp_path / "trained.pt"))
    again.to(memory_format=torch.channels_last)  # as freezing has left the other
    with torch.no_grad():
        torch.testing.assert_close(again(images), network(images), rtol=1e-4, atol=1e-4)


def test_the_weights_leave_the_start_and_come_to_differ_by_position() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    network = replace_depthwise(nn.Sequential(conv), example=torch.zeros(1, 4, 5, 6))
    (layer,) = network
    weight = layer.weight()
    torch.testing.assert_close(weight, conv.weight.view(4, 9, 1, 1).expand_as(weight))
    x, target = torch.randn(8, 4, 5, 6), torch.randn(8, 4, 5, 6)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for step in range(2):
        optimizer.zero_grad()
        F.mse_loss(network(x), target).backward()
        reached = [name for name, p in layer.named_parameters() if p.grad.abs().max() > 0]
        if step == 0:
            assert reached == ["bias", *(f"generator.layers.{n}" for n in (
                "10.weight", "10.bias", "12.weight"))]  # fmt: skip
        optimizer.step()
    assert len(reached) == len(list(layer.named_parameters()))
    assert layer.weight().flatten(2).std(2).min() > 1e-4


def names(network: nn.Module) -> list[str]:
    return [name for name, m in network.named_modules() if isinstance(m, TVConv2d)]


def test_layers_are_chosen_by_stride_pattern_or_predicate() -> None:
    def replaced(where: object) -> list[str]:
        network = torchvision.models.mobilenet_v2()
        return names(replace_depthwise(network, example=EXAMPLE, where=where))  # type: ignore[arg-type]

    blocks = [name.split(".")[1] for name in replaced([32])]
    assert blocks == ["14", "15", "16", "17"]
    assert replaced("features.1[67].*") == ["features.16.conv.1.0", "features.17.conv.1.0"]
    strided = replaced(lambda _, conv: conv.stride == (2, 2))
    assert [name.split(".")[1] for name in strided] == ["2", "4", "7", "14"]


def test_sizes_are_those_of_the_example() -> None:
    network = replace_depthwise(torchvision.models.mobilenet_v2(), example=EXAMPLE, where=[4, 32])
    sizes = [m.output_size for m in network.modules() if isinstance(m, TVConv2d)]
    assert sizes == [(16, 24), (16, 24), *[(2, 3)] * 4]


def test_modes_dtype_and_statistics_stay() -> None:
    network = torchvision.models.mobilenet_v2().double()
    network.features[3].eval()
    before = network.features[0][1].running_mean.clone()
    replace_depthwise(network, example=EXAMPLE.double(), where="features.[34].*")
    assert network.training
    assert not network.features[3].conv[1][0].training
    assert network.features[4].conv[1][0].training
    assert network.features[4].conv[1][0].affinity.dtype == torch.float64
    assert torch.equal(network.features[0][1].running_mean, before)


def test_other_operators_and_kernel_sizes() -> None:
    network = torchvision.models.shufflenet_v2_x1_0()
    replace_depthwise(network, "involution", example=EXAMPLE, kernel_size=5)
    layers = [m for m in network.modules() if isinstance(m, Involution)]
    assert len(layers) == 19
    assert {layer.kernel_size for layer in layers} == {5}
    assert network.eval()(EXAMPLE).shape == (1, 1000)


def test_dynamic_1x1_convolutions_replace_1x1_convolutions() -> None:
    network = torchvision.models.mobilenet_v2()
    replace_depthwise(network, "dyconv_pw", example=EXAMPLE, where="features.[23].*")
    assert len([m for m in network.modules() if isinstance(m, DynamicPointwise)]) == 4
    assert network.eval()(EXAMPLE).shape == (1, 1000)


class Odd(nn.Module):
    """A convolution with a given trait, and one that no pass reaches."""

    def __init__(self, conv: nn.Module, *, twice: bool = False) -> None:
        super().__init__()
        self.conv, self.unused = conv, nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        if self.twice:
            self.conv(x[:, :, ::2, ::2])
        return self.conv(x)


@pytest.mark.parametrize(
    "network",
    [
        Odd(nn.Conv2d(4, 4, 3, groups=4)),
        Odd(nn.Conv2d(4, 4, 2, padding=1, groups=4)),
        Odd(nn.Conv2d(4, 4, (1, 3), padding=(0, 1), groups=4)),
        Odd(nn.Conv2d(4, 4, 3, padding=1, stride=(1, 2), groups=4)),
        Odd(nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode="circular")),
        Odd(timm.layers.Conv2dSame(4, 4, 3, stride=2, groups=4)),
        Odd(nn.Conv2d(4, 4, 3, padding=1, groups=4), twice=True),
    ],
    ids=["valid", "even", "oblong", "strides", "circular", "same", "two sizes"],
)
def test_what_cannot_be_replaced_is_refused(network: nn.Module) -> None:
    before = network.conv
    with pytest.raises(UserError, match=r"1 of the selected .* cannot be replaced \(conv\)"):
        replace_depthwise(network, example=torch.zeros(1, 4, 8, 8), where="conv")
    assert network.conv is before


def test_errors_name_the_layers() -> None:
    network = Odd(nn.Conv2d(4, 4, 3, padding=1, groups=4))
    example = torch.zeros(1, 4, 8, 8)
    with pytest.raises(UserError, match=r"does not reach 1 of the selected .* \(unused\)"):
        replace_depthwise(network, example=example)
    with pytest.raises(UserError, match=r"has 2 depthwise convolutions \(conv, unused\) and where"):
        replace_depthwise(network, example=example, where="nothing")
    with pytest.raises(UserError, match=r"operator must be one of depthwise, .* got 'conv'"):
        replace_depthwise(network, "conv", example=example)
    with pytest.raises(UserError, match="has 0 depthwise convolutions and"):
        replace_depthwise(nn.Sequential(nn.Conv2d(4, 4, 3)), example=example)
