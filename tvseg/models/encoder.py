"""Encoders: those of segmentation_models_pytorch, and MobileNetV2 cut before its last layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from safetensors.torch import load_file
from segmentation_models_pytorch.encoders import encoders as smp_encoders
from segmentation_models_pytorch.encoders import get_encoder, get_preprocessing_params
from segmentation_models_pytorch.encoders.mobilenet import MobileNetV2Encoder
from torch import nn

from tvseg.errors import UsageError, UserError
from tvseg.files import read_json

HUB_TIMEOUT_S = 5

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, in samples of 0 to 255."""


class MobileNetV2FeaturesEncoder(MobileNetV2Encoder):  # type: ignore[misc]
    """MobileNetV2 without its last 1x1 convolution: 320 channels come out, not 1280.

    Weights of the complete network load; those of the layer left out are dropped.

    Source: the encoder of the published TVConv segmentation code.
    """

    def __init__(self, out_channels: list[int], depth: int = 5, output_stride: int = 32) -> None:
        super().__init__(out_channels, depth=depth, output_stride=output_stride)
        del self.features[-1]
        self._out_indexes[-1] = len(self.features) - 1

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load without the last layer of the complete network."""
        kept = {
            k: v for k, v in state_dict.items() if not k.startswith(("features.18.", "classifier."))
        }
        return nn.Module.load_state_dict(self, kept, strict=strict, assign=assign)


def register_encoder() -> None:
    """Add ``mobilenet_v2_320`` to segmentation_models_pytorch's table of encoders."""
    complete = smp_encoders["mobilenet_v2"]
    smp_encoders["mobilenet_v2_320"] = {
        "encoder": MobileNetV2FeaturesEncoder,
        "pretrained_settings": complete["pretrained_settings"],
        "params": {"out_channels": [*complete["params"]["out_channels"][:-1], 320]},
    }


def make_encoder(
    name: str, *, in_channels: int, depth: int, weights: str | None, output_stride: int
) -> Any:
    """Make an encoder whose last map has a given stride.

    Args:
        name: ``mobilenet_v2_320`` or an encoder of segmentation_models_pytorch.
        in_channels: Channels of the image.
        depth: Stages in use.
        weights: ``None`` or ``none`` for random ones, ``imagenet`` (from the model hub) or another
            name of segmentation_models_pytorch's, or a file of :func:`load_encoder_weights`.
        output_stride: 8, 16 or 32; below 32 the last stages are dilated.

    Raises:
        UsageError: An unknown encoder, or one that cannot be dilated.
        UserError: Weights that are missing or of another network.
    """
    check_encoder(name)
    if weights == "imagenet":
        check_hub_weights(name)
    named = {"imagenet", *smp_encoders.get(name, {}).get("pretrained_settings", {})}
    known = weights if weights in named else None
    try:
        encoder = get_encoder(
            name, in_channels=in_channels, depth=depth, weights=known, output_stride=output_stride
        )
    except (TypeError, ValueError, AssertionError) as error:  # each encoder refuses in its way
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"encoder {name} cannot be built with {depth} stages and output stride "
            f"{output_stride}: take one that can be dilated, such as mobilenet_v2_320, resnet34, "
            f"efficientnet-b0, mit_b0 or tu-convnext_tiny ({reason})"
        ) from error
    if weights not in (None, "none", known):
        load_encoder_weights(encoder, Path(weights).expanduser())
    return encoder


def load_encoder_weights(encoder: nn.Module, path: Path) -> None:
    """Load weights into an encoder, strictly.

    Args:
        encoder: An encoder of segmentation_models_pytorch.
        path: A ``.safetensors`` file, or a ``.pt`` or ``.pth`` file that holds a plain state dict.

    Raises:
        UserError: No such file, not a file of weights, or weights of another network.
    """
    if not path.is_file():
        raise UserError(
            f"encoder_weights must be none, imagenet or a file of weights; {path} does not exist"
        )
    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
        for name, right in encoder.state_dict().items():
            if name in state and state[name].is_floating_point() != right.is_floating_point():
                raise ValueError(f"{name} must be {right.dtype}, is {state[name].dtype}")
        encoder.load_state_dict(state)
    except Exception as error:  # safetensors, pickle and torch each raise errors of their own
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"encoder_weights {path} must hold the encoder's state dict: {reason}"
        ) from error


def freeze_unused(encoder: nn.Module) -> None:
    """Leave out of training what no feature map depends on, such as EfficientNet's last layers.

    Several processes would wait for its gradients.
    """
    was_training = encoder.training
    sum(maps.sum() for maps in encoder.eval()(torch.zeros(1, 3, 64, 64))).backward()
    for parameter in encoder.parameters():
        parameter.requires_grad_(parameter.grad is not None)
    encoder.zero_grad()
    encoder.train(was_training)


def pixel_statistics(name: str, weights: str) -> Statistics | None:
    """Return mean and standard deviation of each channel that an encoder's weights expect.

    Args:
        name: An encoder.
        weights: ``none``, ``imagenet`` or another name of segmentation_models_pytorch's, or a
            file of weights, beside which the hub's ``config.json`` may lie.

    Returns:
        In samples of 0 to 255; ``None`` where -1 ... 1 is meant: for random weights, a file
        without ``config.json``, and ``mobilenet_v2_320`` as in the published code.

    Raises:
        UserError: A ``config.json`` that does not say them.
    """
    if weights == "none" or name == "mobilenet_v2_320":
        return None
    if weights == "imagenet" or _is_timm(name):
        return _of_samples(get_preprocessing_params(name))
    if weights in smp_encoders.get(name, {}).get("pretrained_settings", {}):
        return _of_samples(get_preprocessing_params(name, weights))
    file = Path(weights).expanduser().with_name("config.json")
    if not file.is_file():
        return None
    try:
        return _of_samples(read_json(file))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file} must give mean and std of the encoder's input, three numbers each; mend it, "
            f"or remove it where -1 ... 1 is meant ({type(error).__name__}: {error})"
        ) from error


def _of_samples(known: Mapping[str, Any]) -> Statistics:
    scale = 255 / max(known.get("input_range") or (0, 1))
    mean, std = (tuple(scale * float(value) for value in known[key]) for key in ("mean", "std"))
    if not len(mean) == len(std) == 3:
        raise ValueError(f"has {len(mean)} and {len(std)}")
    return mean, std


def check_encoder(name: str) -> None:
    """Raise unless segmentation_models_pytorch knows an encoder, ``mobilenet_v2_320`` included.

    Raises:
        UsageError: With examples of names.
    """
    register_encoder()
    known = timm.is_model(name[3:].split(".")[0]) if _is_timm(name) else name in smp_encoders
    if not known:
        raise UsageError(
            f"encoder must be one of segmentation_models_pytorch's ({len(smp_encoders)} names, "
            f"such as mobilenet_v2_320, resnet34, timm's as tu-NAME), got {name!r}"
        )


def check_hub_weights(name: str) -> None:
    """Fail early if an encoder's ImageNet weights are neither cached nor downloadable.

    Raises:
        UserError: With the ways to get them.
    """
    repo, revision = _weights_on_hub(name)
    if isinstance(try_to_load_from_cache(repo, "model.safetensors", revision=revision), str):
        return
    try:
        url = hf_hub_url(repo, "model.safetensors", revision=revision)
        get_hf_file_metadata(url, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # no network, a proxy, a firewall, no such file: all the same here
        raise UserError(
            "encoder_weights=imagenet needs the model hub, which cannot be reached; on a machine "
            f"that can, run 'hf download {repo} model.safetensors config.json' and give "
            "encoder_weights=PATH/model.safetensors, or train from random weights with "
            "encoder_weights=none"
        ) from error


def _is_timm(name: str) -> bool:
    return name.startswith("tu-")


def _weights_on_hub(name: str) -> tuple[str, str | None]:
    """Return repository and revision of an encoder's ImageNet weights."""
    if _is_timm(name):
        timm_config = timm.get_pretrained_cfg(name[3:])
        repo, revision = getattr(timm_config, "hf_hub_id", None), None
    else:
        settings = smp_encoders[name]["pretrained_settings"].get("imagenet", {})
        repo, revision = settings.get("repo_id"), settings.get("revision")
    if repo is None:
        raise UserError(
            f"encoder {name} has no imagenet weights; give encoder_weights=none or a file"
        )
    return repo, revision
