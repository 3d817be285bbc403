"""Parameters and multiply-accumulates of the paper's backbones, to the last digit."""

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import SHARED
from tvseg.errors import UsageError
from tvseg.models import freeze
from tvseg.models.backbones import mlp_mixer, mobilenet_v2, shufflenet_v2
from tvseg.models.complexity import count_macs, count_macs_as_published
from tvseg.models.operators.dynamic_conv import DynamicPointwise
from tvseg.models.operators.involution import Involution
from tvseg.models.operators.sasa import StandAloneSelfAttention
from tvseg.models.spatial import SPATIAL
from tvseg.ops import TVConv2d

IMAGE = torch.zeros(1, 3, 96, 96)
TABLE = [
    # backbone, width, MACs as published, MACs, parameters depthwise, tvconv, frozen weights
    (mobilenet_v2, 0.1, 22_474_240, 18_023_680, 324_672, 16_369_368, 4_084_992),
    (mobilenet_v2, 0.2, 27_996_928, 23_187_520, 404_352, 19_678_248, 4_567_104),
    (mobilenet_v2, 0.3, 44_200_960, 38_127_232, 526_656, 23_816_352, 6_272_640),
    (mobilenet_v2, 0.5, 74_028_544, 66_260_224, 827_968, 30_079_264, 8_232_192),
    (mobilenet_v2, 1.0, 225_723_904, 211_451_392, 2_241_280, 49_708_576, 15_220_224),
    (shufflenet_v2, 0.5, 31_951_232, 29_509_760, 869_664, 10_602_984, 1_337_472),
    (shufflenet_v2, 1.0, 110_527_136, 106_234_976, 1_781_476, 18_904_696, 3_055_968),
    (shufflenet_v2, 1.5, 222_989_696, 217_064_576, 3_006_496, 26_650_216, 4_572_288),
]
WIDE_INVOLUTION = partial(Involution, group_channels=16)
OPERATOR_TABLE = [
    # operator, kernel size, M MACs of MobileNetV2 x 0.1, 0.2, 0.3, 0.5 and 1.0
    ("condconv", None, (18.11, 23.32, 38.32, 66.55, 212.02)),
    ("weightnet", None, (18.07, 23.26, 38.23, 66.45, 212.09)),
    ("dyconv_dw", None, (18.08, 23.31, 38.34, 66.68, 212.85)),
    ("dyconv_pw", None, (18.16, 23.58, 38.97, 68.29, 219.49)),
    ("ddf", None, (26.35, 32.76, 51.61, 84.99, 250.90)),
    ("involution", None, (29.09, 39.94, 69.52, 129.56, 439.96)),
    # 16 channels a group do not exist in L1 of the narrowest two, where C = 8: one group there
    (WIDE_INVOLUTION, 7, (57.78, 75.96, 126.02, 223.85, 715.95)),
    ("sasa", None, (20.64, 29.55, 49.98, 93.13, 314.72)),
    ("sasa", 7, (25.34, 37.29, 60.76, 109.45, 347.34)),
    ("axial", None, (43.32, 86.78, 158.59, 343.75, 1294.62)),
]
WIDTHS = (0.1, 0.2, 0.3, 0.5, 1.0)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("build", "width", "published", "macs", "depthwise", "tvconv", "frozen"), TABLE
)
def test_parameters_and_macs(
    build: Callable[..., nn.Module],
    width: float,
    published: int,
    macs: int,
    depthwise: int,
    tvconv: int,
    frozen: int,
) -> None:
    plain, ours = build(width).eval(), build(width, operator="tvconv").eval()
    assert (parameters(plain), parameters(ours)) == (depthwise, tvconv)
    assert freeze(ours) == 4 * frozen
    for network in (plain, ours):
        assert count_macs(network, IMAGE) == macs
        assert count_macs_as_published(network, IMAGE) == published


@pytest.mark.parametrize("at", range(len(WIDTHS)), ids=[f"x{width}" for width in WIDTHS])
@pytest.mark.parametrize(("operator", "kernel_size", "mega"), OPERATOR_TABLE)
def test_macs_of_the_operators(
    operator: str, kernel_size: int | None, mega: tuple[float, ...], at: int
) -> None:
    network = mobilenet_v2(WIDTHS[at], operator=operator, kernel_size=kernel_size).eval()
    assert round(count_macs(network, IMAGE) / 1e6, 2) == mega[at]


@pytest.mark.parametrize(
    ("dim", "blocks", "patch_size", "macs", "count"),
    [
        (64, 4, 16, 7.11, 0.23),
        (128, 8, 16, 46.07, 1.26),
        (64, 4, 8, 23.04, 0.22),
        (128, 4, 8, 88.54, 0.69),
        (128, 8, 8, 173.47, 1.30),
    ],
)
def test_mixers(dim: int, blocks: int, patch_size: int, macs: float, count: float) -> None:
    network = mlp_mixer(dim, blocks, patch_size=patch_size).eval()
    assert round(count_macs(network, IMAGE) / 1e6, 2) == macs
    assert round(parameters(network) / 1e6, 2) == count
    assert network(IMAGE).shape == (1, 512)
    assert network.blocks[0].mlp_tokens.act.approximate == "tanh"


def test_the_published_network_gives_its_embeddings() -> None:
    path = SHARED / "oracles" / "net_mobilenet_v2_x0_1_depthwise.npz"
    if not path.is_file():
        pytest.skip(f"needs the published network's numbers, {path}")
    network = mobilenet_v2(0.1).eval()
    with np.load(path) as arrays:
        assert json.loads(str(arrays["meta_json"]))["params"] == parameters(network)
        state = [torch.from_numpy(arrays[n]) for n in arrays.files if n.startswith("state/")]
        x, wanted = torch.from_numpy(arrays["in/x"]), torch.from_numpy(arrays["out"])
    network.load_state_dict(dict(zip(network.state_dict(), state, strict=True)))
    with torch.inference_mode():
        torch.testing.assert_close(network(x), wanted, rtol=0, atol=1e-6)


def layers(network: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, layer in network.named_modules() if isinstance(layer, kind)]


def test_operators_are_put_into_stages() -> None:
    assert len(layers(mobilenet_v2(0.1, operator="tvconv"), TVConv2d)) == 17
    assert len(layers(shufflenet_v2(0.5, operator="tvconv"), TVConv2d)) == 19
    blocks = [
        [int(name.split(".")[1]) for name in layers(network, TVConv2d)]
        for stage in range(1, 8)
        for network in [mobilenet_v2(0.1, operator="tvconv", stages=[stage])]
    ]
    assert blocks == [[1], [2, 3], [4, 5, 6], [7, 8, 9, 10], [11, 12, 13], [14, 15, 16], [17]]
    attention = layers(mobilenet_v2(0.1, operator="sasa"), StandAloneSelfAttention)
    assert [int(name.split(".")[1]) for name in attention] == [11, 12, 13, 14, 15, 16, 17]
    attention = layers(shufflenet_v2(0.5, operator="sasa"), StandAloneSelfAttention)
    assert {name.split(".")[1] for name in attention} == {"stage3", "stage4"}
    pointwise = layers(mobilenet_v2(0.1, operator="dyconv_pw"), DynamicPointwise)
    assert len(pointwise) == 33  # two a block, the first block has one
    assert "features.18.0" not in pointwise


@pytest.mark.parametrize("name", list(SPATIAL))
@pytest.mark.parametrize(
    "build", [partial(mobilenet_v2, 0.1), partial(shufflenet_v2, 1.0)], ids=["MB", "SF"]
)
def test_every_operator_embeds_images_of_any_size(
    build: Callable[..., nn.Module], name: str
) -> None:
    network = build(operator=name, image_size=(64, 48), embedding=8)
    network.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 48).to(memory_format=torch.channels_last)
    network(images).square().sum().backward()
    missing = [n for n, p in network.named_parameters() if p.grad is None]
    assert not missing
    assert network.eval()(torch.zeros(1, 3, 96, 80)).shape == (1, 8)


def test_weights_start_as_in_the_paper() -> None:
    torch.manual_seed(0)
    network = mobilenet_v2(0.5, operator="tvconv", stages=[7])
    assert network.head[3].weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert not network.head[3].bias.any()
    (layer,) = (m for m in network.modules() if isinstance(m, TVConv2d))
    last, norm = layer.generator.layers[-1], layer.generator.layers[-3]
    fan_out = last.weight.shape[0] * 9
    assert last.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    assert (norm.weight == 1).all()
    assert not norm.bias.any()


def test_unknown_stages_and_widths_are_refused() -> None:
    with pytest.raises(UsageError, match="stages must be among 1 to 7, got "):
        mobilenet_v2(0.1, operator="tvconv", stages=[0, 8])
    with pytest.raises(UsageError, match=r"width must be one of 0.5, 1.0, 1.5, got 2"):
        shufflenet_v2(2)
    with pytest.raises(UsageError, match="operator must be one of depthwise, tvconv"):
        mobilenet_v2(0.1, operator="deformable")
