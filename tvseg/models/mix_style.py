"""MixStyle: images of a batch exchange the statistics of their early feature maps in training.

Source: Zhou et al., Domain Generalization with MixStyle, ICLR 2021.
"""

from typing import Any

import torch
from torch import Tensor, nn

from tvseg.errors import UsageError

STAGES = (1, 2)
"""Stages of the encoder behind which styles are mixed: maps of stride 2 and 4."""

ALPHA = 0.1  # of the Beta distribution of the share that an image keeps of its own style
_EPSILON = 1e-6


def mix_style(x: Tensor) -> Tensor:
    """Give each image's maps means and deviations between its own and another image's.

    Args:
        x: Maps (B, C, H, W).

    Returns:
        Maps of the same shape; drawn from torch's global generator.
    """
    maps = x.float()
    mean = maps.mean(dim=(2, 3), keepdim=True).detach()
    deviation = (maps.var(dim=(2, 3), keepdim=True) + _EPSILON).sqrt().detach()
    alpha = torch.full((len(x), 1, 1, 1), ALPHA)
    own = torch.distributions.Beta(alpha, alpha).sample().to(x.device)
    other = torch.randperm(len(x), device="cpu").to(x.device)
    mixed_mean = own * mean + (1 - own) * mean[other]
    mixed_deviation = own * deviation + (1 - own) * deviation[other]
    return ((maps - mean) / deviation * mixed_deviation + mixed_mean).to(x.dtype)


def add_mix_style(encoder: nn.Module, probability: float) -> None:
    """Let an encoder mix styles behind its early stages, in training mode alone.

    Neither parameters nor checkpoints change.

    Args:
        encoder: Of segmentation_models_pytorch.
        probability: That a batch is mixed, for each stage.

    Raises:
        UsageError: The maps of a stage are not the output of a module.
    """

    def mix(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        if not module.training or torch.rand(()).item() >= probability:
            return None
        return mix_style(output)

    for stage in _stage_modules(encoder):
        stage.register_forward_hook(mix)


def _stage_modules(encoder: nn.Module) -> list[nn.Module]:
    """Return the outermost module that each early stage's maps come from."""
    sources: dict[int, nn.Module] = {}  # id of an output -> the module that gave it last
    outputs = []  # keeps their ids from being used again

    def note(module: nn.Module, inputs: Any, output: object) -> None:
        outputs.append(output)
        if not isinstance(module, nn.Identity):  # it passes on the maps of the stage before it
            sources[id(output)] = module

    hooks = [module.register_forward_hook(note) for module in encoder.modules()]
    was_training = encoder.training
    parameter = next(encoder.parameters())
    with torch.no_grad():
        features = encoder.eval()(torch.zeros(1, 3, 64, 64, device=parameter.device))
    encoder.train(was_training)
    for hook in hooks:
        hook.remove()
    if not all(id(features[stage]) in sources for stage in STAGES):
        raise UsageError(
            "mixstyle needs an encoder whose early maps are outputs of its layers, such as "
            "mobilenet_v2_320 or resnet34"
        )
    return [sources[id(features[stage])] for stage in STAGES]
