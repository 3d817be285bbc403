import json
from pathlib import Path

import pytest

from tvseg.errors import UserError
from tvseg.models import encoder as encoder_module
from tvseg.models.encoder import freeze_unused, make_encoder, pixel_statistics


def test_statistics_of_images_are_those_that_the_weights_expect(tmp_path: Path) -> None:
    assert pixel_statistics("mobilenet_v2_320", "imagenet") is None  # as in the published code
    assert pixel_statistics("tu-convnext_tiny", "none") is None
    mean, std = pixel_statistics("tu-convnext_tiny.dinov3_lvd1689m", "imagenet")
    assert mean == pytest.approx((123.675, 116.28, 103.53))
    assert std == pytest.approx((58.395, 57.12, 57.375))
    weights = tmp_path / "model.safetensors"
    assert pixel_statistics("resnet34", str(weights)) is None
    known = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0], "input_range": [0, 255]}
    (tmp_path / "config.json").write_text(json.dumps(known))
    assert pixel_statistics("resnet34", str(weights)) == ((1, 2, 3), (4, 5, 6))


def test_statistics_are_those_of_named_weights_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_hub(name: str, weights: str = "imagenet") -> dict[str, list[float]]:
        return {"mean": [0.1, 0.2, 0.3] if weights == "ssl" else [], "std": [0.5, 0.5, 0.5]}

    monkeypatch.setattr(encoder_module, "get_preprocessing_params", on_hub)
    mean, _ = pixel_statistics("resnet18", "ssl") or ((), ())
    assert mean == pytest.approx([25.5, 51, 76.5])
    file = tmp_path / "config.json"
    bad = ("{", "[]", '{"mean": [1]}', '{"mean": ["a"], "std": [1]}', '{"mean": [1], "std": [1]}')
    for content in bad:
        file.write_text(content)
        with pytest.raises(UserError, match=rf"{file} must give mean and std"):
            pixel_statistics("resnet18", str(tmp_path / "model.safetensors"))


def test_what_no_map_depends_on_is_not_trained() -> None:
    encoder = make_encoder(
        "efficientnet-b0", in_channels=3, depth=5, weights="none", output_stride=16
    ).train()
    freeze_unused(encoder)
    left = {name for name, one in encoder.named_parameters() if not one.requires_grad}
    assert left == {"_conv_head.weight", "_bn1.weight", "_bn1.bias"}
    assert all(one.grad is None for one in encoder.parameters())
    assert encoder.training
