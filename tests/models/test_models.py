from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tests.conftest import use_narrow_tvconv
from tvseg.cli import cli
from tvseg.errors import UsageError, UserError
from tvseg.models import TVDeepLabV3Plus, build_model, deeplab, freeze
from tvseg.models import encoder as encoder_module
from tvseg.models.aspp import InvertedResidual
from tvseg.models.spatial import SPATIAL, operator_names, spatial_operator
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


def test_tests_that_say_so_have_a_narrow_tvconv(monkeypatch: pytest.MonkeyPatch) -> None:
    use_narrow_tvconv(monkeypatch)
    network = build_model(aspp="tvconv")
    assert sum(p.numel() for p in network.parameters()) < PARAMETERS["tvconv"] / 4


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
    seen: list[tuple[int, tuple[int, int], int]] = []

    def spatial(
        channels: int,
        *,
        size: tuple[int, int],
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ) -> nn.Module:
        seen.append((channels, size, dilation))
        return nn.Identity()

    block = InvertedResidual(4, 8, spatial=spatial, size=(5, 7), dilation=3)
    assert block(torch.zeros(2, 4, 5, 7)).shape == (2, 8, 5, 7)
    assert seen == [(24, (5, 7), 3)]


@pytest.mark.parametrize("name", list(SPATIAL))
@pytest.mark.parametrize(("stride", "out"), [(1, (5, 8)), (2, (3, 4))])
def test_operators_keep_channels_and_divide_sides(
    name: str, stride: int, out: tuple[int, int]
) -> None:
    layer = spatial_operator(name)(16, size=(5, 8), stride=stride)
    assert layer(torch.zeros(2, 16, 5, 8)).shape == (2, 16, *out)


def test_weights_are_made_for_non_square_images() -> None:
    network = build_model(aspp="tvconv", image_size=(64, 96))
    sizes = {m.output_size for m in network.modules() if isinstance(m, TVConv2d)}
    assert sizes == {(4, 6)}


class _Kept(nn.Identity):
    frozen_bytes = 7

    def freeze(self, dtype: torch.dtype | None = None) -> None:
        self.dtype = dtype


def test_freeze_reaches_every_layer_that_can_be_frozen() -> None:
    kept = _Kept()
    network = nn.Sequential(kept, nn.ReLU(), TVConv2d(3, 2, hidden_channels=2)).eval()
    assert freeze(network, torch.float32) == 7 + network[2].frozen_bytes
    assert kept.dtype == torch.float32
    assert network[2].frozen


@pytest.mark.parametrize("name", ["mit_b0", "efficientnet-b0", "tu-convnext_tiny.dinov3_lvd1689m"])
def test_encoders_of_other_families_work(name: str) -> None:
    network = build_model(aspp="depthwise", encoder=name, image_size=64).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize(
    "name",
    ["tu-swin_tiny_patch4_window7_224", "tu-vit_tiny_patch16_224", "tu-mambaout_femto", "vgg11"],
)
def test_encoders_that_cannot_be_dilated_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"encoder {name} cannot be built .* output stride 16"):
        build_model(aspp="depthwise", encoder=name)


def test_the_cut_encoder_takes_torchs_arguments_of_load_state_dict() -> None:
    encoder = build_model(aspp="dense").encoder
    missing, _ = encoder.load_state_dict({}, False)
    assert "features.0.0.weight" in missing
    with pytest.raises(RuntimeError, match="Missing key"):
        encoder.load_state_dict({}, True)


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
        ({"aspp": "wide"}, f"dense, {', '.join(operator_names())}, got 'wide'"),
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
    with pytest.raises(UserError, match=words):
        build_model(**arguments)  # type: ignore[arg-type]


def test_variants_are_checked_before_the_encoder_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deeplab, "make_encoder", None)
    with pytest.raises(UsageError, match="aspp must be one of"):
        TVDeepLabV3Plus(aspp="")
    with pytest.raises(UsageError, match="operator must be one of depthwise, tvconv, "):
        spatial_operator("")


def test_train_refuses_an_unknown_variant_before_it_reads_data(tmp_path: Path) -> None:
    arguments = ["train", "--holdout", "A", "--data", str(tmp_path), "--out", str(tmp_path / "r")]
    result = CliRunner().invoke(cli, [*arguments, "aspp=wide", "encoder_weights=none"])
    assert result.exit_code == 2, result.output
    assert (
        result.output
        == f"Error: aspp must be one of dense, {', '.join(operator_names())}, got 'wide'\n"
    )
    assert not (tmp_path / "r").exists()


def test_imagenet_weights_fail_at_once_without_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(encoder_module, "try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setattr(encoder_module, "get_hf_file_metadata", unreachable)
    with pytest.raises(
        ValueError,
        match=r"hf download smp-hub/mobilenet_v2.imagenet .*config.json.*encoder_weights=none",
    ):
        build_model(encoder_weights="imagenet")


def test_weights_of_the_complete_encoder_load_strictly(tmp_path: Path) -> None:
    complete = build_model(aspp="dense", encoder="mobilenet_v2").encoder.state_dict()
    save_file(complete, tmp_path / "complete.safetensors")
    network = build_model(aspp="dense", encoder_weights=str(tmp_path / "complete.safetensors"))
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, complete[name])
    weight = complete["features.3.conv.0.0.weight"]
    torch.save(complete | {"features.3.conv.0.0.weight": weight.int()}, tmp_path / "typed.pt")
    with pytest.raises(UserError, match=r"features.3.conv.0.0.weight must be torch.float32, is"):
        build_model(aspp="dense", encoder_weights=str(tmp_path / "typed.pt"))
    del complete["features.3.conv.0.0.weight"]
    torch.save(complete, tmp_path / "partial.pt")
    with pytest.raises(ValueError, match=r"partial.pt must hold .*features.3.conv.0.0.weight"):
        build_model(aspp="dense", encoder_weights=str(tmp_path / "partial.pt"))


def test_the_given_imagenet_weights_load(imagenet_weights: Path) -> None:
    network = build_model(aspp="dense", encoder_weights=str(imagenet_weights))
    given = load_file(imagenet_weights)
    assert torch.equal(network.encoder.features[0][0].weight, given["features.0.0.weight"])


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_model", full)
    with pytest.raises(UserError, match=r"new cannot be written: .* No space left on device"):
        build_model(aspp="dense").save_pretrained(tmp_path / "new")
