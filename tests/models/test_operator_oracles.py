"""Outputs and gradients of the operators against those of each operator's original code."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.models.oracles import Oracle, Values, assert_agrees
from tvseg.models.operators.axial import LineAttention
from tvseg.models.operators.condconv import CondConv
from tvseg.models.operators.ddf import DecoupledDynamicFilter, filter_decoupled
from tvseg.models.operators.dynamic_conv import DynamicDepthwise, DynamicPointwise
from tvseg.models.operators.involution import Involution
from tvseg.models.operators.sampling import neighbourhoods, pooled_to
from tvseg.models.operators.sasa import StandAloneSelfAttention
from tvseg.models.operators.weightnet import WeightNet, kernel_generator
from tvseg.ops import TVConv2d

SIZE = (8, 8)


def flat(value: Tensor) -> Tensor:
    return value.flatten(1)


def squeezed(value: Tensor) -> Tensor:
    return value.reshape(value.shape[:2])


@pytest.mark.parametrize("case", ["dw", "pw"])
def test_condconv(case: str) -> None:
    oracle = Oracle("condconv", case)

    def ours(theirs: Values) -> dict[str, Tensor]:
        return {
            "routing.weight": theirs["route.fc.weight"],
            "routing.bias": theirs["route.fc.bias"],
            "conv.weight": flat(theirs["conv.weight"]),
        }

    layer = CondConv(16, size=SIZE, kernel_size=oracle.settings["kernel_size"])
    if case == "pw":  # the experts of a 1x1 convolution under the same routing
        layer.conv = type(layer.conv)(16, 24, 1, num_experts=8)
    assert_agrees(layer, oracle, ours)


@pytest.mark.parametrize("case", ["dw_T34", "dw_T1", "pw_T1"])
def test_dynamic_convolution(case: str) -> None:
    oracle = Oracle("dynamic_conv", case)
    temperature = torch.tensor(float(oracle.settings["temperature"]), dtype=torch.float64)

    def ours(theirs: Values) -> dict[str, Tensor]:
        return {
            "attention.0.weight": squeezed(theirs["attention.fc1.weight"]),
            "attention.2.weight": squeezed(theirs["attention.fc2.weight"]),
            "attention.2.bias": theirs["attention.fc2.bias"],
            "conv.weight": flat(theirs["weight"]),
            "temperature": temperature,
        }

    depthwise = case.startswith("dw")
    layer = DynamicDepthwise(16, size=SIZE) if depthwise else DynamicPointwise(16, 24)
    assert_agrees(layer, oracle, ours)


def weightnet_of(theirs: Values) -> dict[str, Tensor]:
    return {
        "generator.0.weight": theirs["reduce.weight"],
        "generator.0.bias": theirs["reduce.bias"],
        "generator.1.weight": theirs["wn.wn_fc1.weight"],
        "generator.1.bias": theirs["wn.wn_fc1.bias"],
        "generator.3.weight": theirs["wn.wn_fc2.weight"],
    }


def test_weightnet() -> None:
    assert_agrees(WeightNet(24, size=SIZE), Oracle("weightnet", "dw_c24s1"), weightnet_of)


def test_weightnet_of_a_1x1_convolution() -> None:
    layer = nn.ModuleDict({"generator": kernel_generator(24, 32, 16 * 24)})

    def call(x: Tensor) -> Tensor:
        kernels = layer["generator"](x.mean((2, 3), keepdim=True)).view(-1, 16, 24)
        return torch.einsum("boc,bchw->bohw", kernels, x)

    assert_agrees(layer, Oracle("weightnet", "pw_24_16"), weightnet_of, call)


@pytest.mark.parametrize("case", ["c32k3s1eval", "c32k7s1eval", "c48k3s1eval_group8"])
def test_involution(case: str) -> None:
    oracle = Oracle("involution", case)
    settings = oracle.settings

    def ours(theirs: Values) -> dict[str, Tensor]:
        names = {
            "conv1.conv.weight": "generator.1.weight",
            "conv1.bn.weight": "generator.2.weight",
            "conv1.bn.bias": "generator.2.bias",
            "conv1.bn.running_mean": "generator.2.running_mean",
            "conv1.bn.running_var": "generator.2.running_var",
            "conv1.bn.num_batches_tracked": "generator.2.num_batches_tracked",
            "conv2.conv.weight": "generator.4.weight",
            "conv2.conv.bias": "generator.4.bias",
        }
        return {names[name]: value for name, value in theirs.items()}

    layer = Involution(
        settings["channels"],
        size=SIZE,
        kernel_size=settings["kernel_size"],
        group_channels=settings["group_channels"],
    )
    assert_agrees(layer, oracle, ours)


@pytest.mark.parametrize("case", ["op_c6k3s1", "op_c5k5s1"])
def test_ddf_of_given_kernels(case: str) -> None:
    oracle = Oracle("ddf", case)
    given = {name: value.clone().requires_grad_() for name, value in oracle.part("in").items()}
    pixels = neighbourhoods(given["x"], oracle.settings["kernel_size"])
    out = filter_decoupled(
        pixels, given["spatial_filter"].flatten(2), given["channel_filter"].flatten(2)
    )
    out = out.unflatten(2, given["x"].shape[2:])
    (out * oracle.values["cotangent"]).sum().backward()
    torch.testing.assert_close(out, oracle.values["out"], rtol=1e-10, atol=1e-10)
    for name, value in given.items():
        torch.testing.assert_close(
            value.grad, oracle.values[f"grad_in/{name}"], rtol=1e-10, atol=1e-10
        )


def test_ddf() -> None:
    oracle = Oracle("ddf", "pack_c16k3s2")

    def ours(theirs: Values) -> dict[str, Tensor]:
        return {
            "spatial.weight": theirs["spatial_branch.0.weight"],
            "spatial.bias": theirs["spatial_branch.0.bias"],
            "channel.0.weight": theirs["channel_branch.1.weight"],
            "channel.0.bias": theirs["channel_branch.1.bias"],
            "channel.2.weight": theirs["channel_branch.3.weight"],
            "channel.2.bias": theirs["channel_branch.3.bias"],
            "channel_std": theirs["channel_branch.4.std"].unflatten(0, (16, 9)),
        }

    assert_agrees(DecoupledDynamicFilter(16, size=SIZE, stride=2), oracle, ours)


def sasa_of(heads: int) -> Callable[[Values], dict[str, Tensor]]:
    def ours(theirs: Values) -> dict[str, Tensor]:
        def joined(name: str) -> Tensor:
            return torch.cat([theirs[f"head.{head}.{name}"] for head in range(heads)])

        def stacked(name: str) -> Tensor:
            return torch.stack([theirs[f"head.{head}.{name}"] for head in range(heads)])

        return {
            "query.weight": joined("weight_query.weight"),
            "key.weight": joined("weight_key.weight"),
            "value.weight": joined("weight_value.weight"),
            "col_offsets": stacked("relative_x"),
            "row_offsets": stacked("relative_y"),
        }

    return ours


@pytest.mark.parametrize("case", ["c8h1k3", "c16h2k7"])
def test_sasa(case: str) -> None:
    oracle = Oracle("sasa", case)
    settings = oracle.settings
    layer = StandAloneSelfAttention(
        settings["channels"],
        size=SIZE,
        kernel_size=settings["kernel_size"],
        heads=settings["heads"],
    )
    assert_agrees(layer, oracle, sasa_of(settings["heads"]))


def test_sasa_is_not_the_elementwise_form_that_is_often_copied() -> None:
    oracle = Oracle("sasa_leaderj1001_elementwise", "elementwise_c16g4k3")
    given = oracle.part("param")
    layer = StandAloneSelfAttention(16, size=SIZE, heads=1).double()
    for name in ("query", "key", "value"):
        getattr(layer, name).weight.data = given[f"{name}_conv.weight"]
    layer.col_offsets.data = given["rel_w"].reshape(1, 8, 3)
    layer.row_offsets.data = given["rel_h"].reshape(1, 8, 3)
    apart = (layer(oracle.values["in/x"]) - oracle.values["out"]).abs().max()
    assert apart > 0.1


@pytest.mark.parametrize("case", ["i16o16g8k6s1heval", "i48o48g8k6s2weval", "i16o32g4k6s1weval"])
def test_axial_attention(case: str) -> None:
    oracle = Oracle("axial_attention", case)
    settings = oracle.settings
    names = {"qkv_transform": "project", "bn_qkv": "project_norm",
             "bn_similarity": "score_norm", "bn_output": "sum_norm"}  # fmt: skip

    def ours(theirs: Values) -> dict[str, Tensor]:
        renamed = {"embeddings": theirs["relative"]}
        for name, value in theirs.items():
            part, _, rest = name.partition(".")
            if part in names:
                renamed[f"{names[part]}.{rest}"] = value
        return renamed

    layer = LineAttention(
        settings["in_planes"],
        settings["kernel_size"],
        groups=settings["groups"],
        out_channels=settings["out_planes"],
    )
    pool = pooled_to(settings["stride"])

    def call(x: Tensor) -> Tensor:
        lines = x if settings["axis"] == "width" else x.transpose(2, 3)
        out = layer(lines.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1)).transpose(1, 2)
        return pool(out if settings["axis"] == "width" else out.transpose(2, 3))

    assert_agrees(layer, oracle, ours, call)


@pytest.mark.parametrize("case", ["c8s1hw6A4B8x3", "c6s1hw5A1B8x1"])
def test_tvconv(case: str) -> None:
    oracle = Oracle("tvconv_face", case)
    settings = oracle.settings
    layers, channels = settings["inter_layers"], settings["channels"]

    def ours(theirs: Values) -> dict[str, Tensor]:
        renamed = {"affinity": theirs["posi_map"][0]}
        for block in range(layers + 1):
            renamed[f"generator.layers.{3 * block}.weight"] = theirs[
                f"weight_layers.{block}.0.weight"
            ]
            for name in ("weight", "bias"):
                given = theirs[f"weight_layers.{block}.1.{name}"]
                renamed[f"generator.layers.{3 * block + 1}.{name}"] = given
        last = theirs[f"weight_layers.{layers + 1}.weight"]  # channel-major, ours tap-major
        renamed[f"generator.layers.{3 * (layers + 1)}.weight"] = (
            last.unflatten(0, (channels, 9)).transpose(0, 1).flatten(0, 1)
        )
        return renamed

    layer = TVConv2d(
        channels,
        (settings["h"], settings["w"]),
        affinity_channels=settings["posi_chans"],
        hidden_channels=settings["inter_chans"],
        hidden_layers=layers,
    )
    assert_agrees(layer, oracle, ours)
