from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tvseg.models import TVDeepLabV3Plus, build_model, freeze
from tvseg.models import encoder as encoder_module
from tvseg.models.aspp import make_branch
from tvseg.models.layers import InvertedResidual
from tvseg.ops import TVConv2d

PARAMETERS = {"dense": 5_220_834, "depthwise": 6_401_634, "tvconv": 36_944_610}
GMAC = {"dense": 4.142, "depthwise": 4.438, "tvconv": 4.438}
GENERATOR_PARAMETERS = 30_594_816


@pytest.fixture(params=list(PARAMETERS))
def aspp(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_parameters_and_macs(aspp: str) -> None:
    network = build_model(aspp=aspp).eval()
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[aspp]
    layers = [layer for layer in network.modules() if isinstance(layer, TVConv2d)]
    generators = sum(p.numel() for layer in layers for p in layer.parameters())
    assert generators == (GENERATOR_PARAMETERS if aspp == "tvconv" else 0)
    freeze(network)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 256, 256))
    assert counter.get_total_flops() / 2e9 == pytest.approx(GMAC[aspp], abs=5e-4)


def test_logits_have_the_size_of_the_image(aspp: str) -> None:
    network = build_model(aspp=aspp, image_size=64, classes=3).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 64, 64)
        assert network(torch.zeros(1, 3, 32, 96)).shape == (1, 3, 32, 96)


def test_the_aspp_reads_320_channels_and_the_stride_4_map() -> None:
    network = build_model(aspp="dense")
    assert network.encoder.out_channels == [3, 16, 24, 32, 96, 320]
    features = network.eval().encoder(torch.zeros(1, 3, 64, 64))
    assert features[-1].shape == (1, 320, 4, 4)  # output stride 16
    assert features[2].shape == (1, 24, 16, 16)


def test_dilation_follows_the_key() -> None:
    def dilations(aspp: str, aspp_dilation: str) -> list[int]:
        network = build_model(aspp=aspp, aspp_dilation=aspp_dilation)
        wide = [m for m in network.decoder.aspp.wide.modules() if hasattr(m, "dilation")]
        return [m.dilation if isinstance(m.dilation, int) else m.dilation[0] for m in wide
                 if getattr(m, "kernel_size", 1) in (3, (3, 3)) and m is not None
                 and (isinstance(m, TVConv2d) or m.in_channels in (320, 1920))]  # fmt: skip

    assert dilations("dense", "none") == [6, 12, 18]
    assert dilations("depthwise", "none") == dilations("tvconv", "none") == [1, 1, 1]
    assert dilations("depthwise", "atrous") == dilations("tvconv", "atrous") == [6, 12, 18]


def test_the_head_starts_kaiming_normal_generators_included() -> None:
    torch.manual_seed(0)
    network = build_model(aspp="tvconv")
    checked = 0
    for part in (network.decoder, network.segmentation_head):
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 50_000:
                fan_in = layer.weight[0].numel()
                assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
                assert abs(layer.weight).max() > 3 * layer.weight.std()  # normal, not uniform
                checked += 1
    assert checked > 10


def test_any_spatial_operator_fits_the_inverted_residual() -> None:
    seen: list[tuple[int, int]] = []

    def spatial(channels: int, dilation: int) -> nn.Module:
        seen.append((channels, dilation))
        return nn.Identity()

    block = InvertedResidual(4, 8, spatial=spatial, dilation=3, expansion=2)
    assert block(torch.zeros(2, 4, 5, 7)).shape == (2, 8, 5, 7)
    assert seen == [(8, 3)]


def test_other_encoders_and_strides_work() -> None:
    network = TVDeepLabV3Plus(
        "resnet18", encoder_weights=None, encoder_output_stride=8, encoder_depth=4, image_size=64
    )
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)
    grey = TVDeepLabV3Plus(
        encoder_weights=None,
        in_channels=1,
        encoder_depth=3,
        image_size=64,
        aux_params={"classes": 5},
    )
    masks, labels = grey.eval()(torch.zeros(1, 1, 64, 64))
    assert masks.shape == (1, 1, 64, 64)
    assert labels.shape == (1, 5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"aspp": "wide"}, "dense, depthwise, tvconv, got 'wide'"),
        ({"aspp_dilation": "all"}, "none or atrous, got 'all'"),
        ({"encoder": "tu-nope"}, "segmentation_models_pytorch's .*got 'tu-nope'"),
        ({"encoder": "vgg99"}, "segmentation_models_pytorch's .*got 'vgg99'"),
        (
            {"encoder_weights": "/nowhere/weights.pt"},
            "none, imagenet or a file of weights; /nowhere/weights.pt",
        ),
    ],
)
def test_unknown_names_list_the_options(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build_model(**arguments)  # type: ignore[arg-type]


def test_branch_names_are_checked_before_anything_is_built() -> None:
    with pytest.raises(ValueError, match="aspp must be one of"):
        make_branch("", aspp_dilation="none", feature_size=4)


def test_imagenet_weights_fail_at_once_without_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(encoder_module, "try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setattr(encoder_module, "get_hf_file_metadata", unreachable)
    with pytest.raises(
        ValueError, match=r"hf download smp-hub/mobilenet_v2.imagenet .*encoder_weights=none"
    ):
        build_model(encoder_weights="imagenet")


def test_weights_of_the_complete_encoder_load_strictly(tmp_path: Path) -> None:
    complete = build_model(aspp="dense", encoder="mobilenet_v2").encoder.state_dict()
    save_file(complete, tmp_path / "complete.safetensors")
    network = build_model(aspp="dense", encoder_weights=str(tmp_path / "complete.safetensors"))
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, complete[name])
    del complete["features.3.conv.0.0.weight"]
    torch.save(complete, tmp_path / "partial.pt")
    with pytest.raises(ValueError, match=r"partial.pt must hold .*features.3.conv.0.0.weight"):
        build_model(aspp="dense", encoder_weights=str(tmp_path / "partial.pt"))


def test_the_given_imagenet_weights_load(imagenet_weights: Path) -> None:
    network = build_model(aspp="dense", encoder_weights=str(imagenet_weights))
    given = load_file(imagenet_weights)
    assert torch.equal(network.encoder.features[0][0].weight, given["features.0.0.weight"])
