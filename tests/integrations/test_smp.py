"""What segmentation_models_pytorch's own tests ask of its models, asked of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from huggingface_hub import ModelCard
from torch import nn

import tvseg.integrations.smp  # noqa: F401  (registers)
from tests.documents import blocks
from tvseg.models import TVDeepLabV3Plus
from tvseg.ops import TVConv2d

pytestmark = pytest.mark.usefixtures("narrow_tvconv")

SAMPLE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def make_model(encoder: str = "resnet18", **options: object) -> nn.Module:
    torch.manual_seed(0)
    return smp.create_model(
        "tvdeeplabv3plus", encoder, encoder_weights=None, image_size=64, **options
    )


@pytest.fixture(scope="module")
def model(narrow_tvconv: None) -> nn.Module:
    return make_model().eval()


@pytest.fixture(scope="module")
def logits(model: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(SAMPLE).clone()


def test_it_is_registered_with_its_encoder() -> None:
    assert type(make_model()) is smp.TVDeepLabV3Plus is TVDeepLabV3Plus
    assert "mobilenet_v2_320" in smp.encoders.get_encoder_names()


def test_forward_and_backward() -> None:
    model = make_model()
    output = model(SAMPLE)
    assert output.shape == (2, 1, 64, 64)
    output.mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_in_channels_depth_and_classes() -> None:
    model = make_model(encoder_depth=3, in_channels=1, classes=7).eval()
    with torch.inference_mode():
        assert model(SAMPLE[:, :1]).shape == (2, 7, 64, 64)


def test_classification_head() -> None:
    aux_params = {"pooling": "avg", "classes": 10, "dropout": 0.5, "activation": "sigmoid"}
    model = make_model(aux_params=aux_params).eval()
    pool, flatten, dropout, linear, activation = model.classification_head
    assert isinstance(pool, nn.AdaptiveAvgPool2d)
    assert isinstance(flatten, nn.Flatten)
    assert isinstance(dropout, nn.Dropout)
    assert dropout.p == 0.5
    assert isinstance(linear, nn.Linear)
    assert isinstance(activation.activation, nn.Sigmoid)
    with torch.inference_mode():
        masks, labels = model(SAMPLE)
    assert masks.shape == (2, 1, 64, 64)
    assert labels.shape == (2, 10)


def test_any_resolution_that_the_stride_divides(model: nn.Module) -> None:
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 80, 112)).shape == (1, 1, 80, 112)
        with pytest.raises(RuntimeError, match="Wrong input shape height=67, width=71"):
            model(torch.rand(1, 3, 67, 71))


def test_save_and_load(model: nn.Module, logits: torch.Tensor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, dataset="phantoms", metrics={"dice": 0.99})
    with torch.inference_mode():
        assert torch.equal(smp.from_pretrained(tmp_path).eval()(SAMPLE), logits)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.license == "other"
    assert card.data.pipeline_tag == "image-segmentation"
    assert "phantoms" in card.text
    assert '"dice": 0.99' in card.text


def test_a_stated_licence_is_the_cards(model: nn.Module, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, license="cc-by-4.0")
    assert ModelCard.load(tmp_path / "README.md").data.license == "cc-by-4.0"


def test_a_model_of_pretrained_encoder_loads_without_a_hub(
    model: nn.Module, logits: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model.config, "encoder_weights", "imagenet")  # as if it had been fetched
    model.save_pretrained(tmp_path)
    assert model.config["encoder_weights"] == "imagenet"
    with torch.inference_mode():
        assert torch.equal(smp.from_pretrained(tmp_path)(SAMPLE), logits)


def test_the_cards_snippet_runs_in_a_new_process(tmp_path: Path) -> None:
    folder = tmp_path / "it's saved"
    make_model(aspp="depthwise").save_pretrained(folder)
    (snippet,) = blocks(folder / "README.md", "python")
    code = f"{snippet}\nprint(type(model).__name__)"
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "TVDeepLabV3Plus"


def test_pushing_writes_the_repository_into_the_card(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[str] = []

    class Hub:
        def __init__(self, token: str | None = None) -> None:
            pass

        def create_repo(self, repo_id: str, **_: object) -> "Hub":
            self.repo_id = repo_id
            return self

        def upload_folder(self, folder_path: Path, **_: object) -> str:
            pushed.append(ModelCard.load(folder_path / "README.md").content)
            return "https://hub/clinic/discs"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Hub)
    assert model.push_to_hub("clinic/discs") == "https://hub/clinic/discs"
    assert "smp.from_pretrained('clinic/discs')" in pushed[0]
    assert "license: other" in pushed[0]


@pytest.mark.slow
def test_compile(model: nn.Module, logits: torch.Tensor) -> None:
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(SAMPLE), logits)


@pytest.mark.slow
def test_export(model: nn.Module, logits: torch.Tensor) -> None:
    exported = torch.export.export(model, args=(SAMPLE,), strict=True)
    torch.testing.assert_close(exported.module()(SAMPLE), logits, rtol=1e-5, atol=1e-5)


def test_scripting_is_refused_and_said_to_be(model: nn.Module) -> None:
    assert not model._is_torch_scriptable
    with pytest.raises(RuntimeError):
        torch.jit.script(model)


@pytest.mark.parametrize(
    "encoder",
    [
        pytest.param("tu-convnext_tiny.dinov3_lvd1689m", marks=pytest.mark.slow),
        "mit_b0",
        "efficientnet-b0",
    ],
)
def test_other_encoders_train_and_are_saved(encoder: str, tmp_path: Path) -> None:
    model = make_model(encoder, decoder_channels=32)
    assert any(isinstance(layer, TVConv2d) for layer in model.modules())
    model(SAMPLE).mean().backward()
    model.eval().save_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.equal(smp.from_pretrained(tmp_path)(SAMPLE), model(SAMPLE))
