"""Affinity maps of a network's TVConv layers, and their course over a training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor, nn

from tvseg.errors import UserError
from tvseg.files import write_bytes
from tvseg.ops import TVConv2d

_EPOCHS, _MAPS = "epochs", ".affinity"


@dataclass(frozen=True)
class Course:
    """Affinity maps by epoch.

    Attributes:
        epochs: int64 (E,), ascending; 0 is the start.
        maps: Layer name -> float32 (E, affinity channels, height, width), sorted by name; the file
            keeps no order.
    """

    epochs: np.ndarray
    maps: dict[str, np.ndarray]


def tv_conv_layers(network: nn.Module) -> dict[str, TVConv2d]:
    """The TVConv layers of a network by name, in the order in which they are registered."""
    return {name: m for name, m in network.named_modules() if isinstance(m, TVConv2d)}


def affinity_maps(network: nn.Module) -> dict[str, np.ndarray]:
    """Copies of the affinity maps of every TVConv layer.

    Returns:
        Layer name -> float32 (affinity channels, height, width); empty where there is no TVConv.
    """
    return {
        name: layer.affinity.detach().float().cpu().numpy().copy()
        for name, layer in tv_conv_layers(network).items()
    }


@torch.no_grad()
def fill_affinity(network: nn.Module, maps_of: Callable[[Tensor], Tensor]) -> None:
    """Give every TVConv layer other affinity maps.

    Args:
        network: With the layers.
        maps_of: A layer's maps, (affinity channels, height, width) -> those that replace them.
    """
    for layer in tv_conv_layers(network).values():
        layer.affinity.copy_(maps_of(layer.affinity))


def record_affinity(path: Path, epoch: int, maps: Mapping[str, np.ndarray]) -> None:
    """Add an epoch to a record of affinity maps; this epoch and later ones in it give way.

    Args:
        path: ``.safetensors`` file, written anew as a whole.
        epoch: Epoch at whose end the maps were taken, 0 for the start.
        maps: Of :func:`affinity_maps`, at least one.

    Raises:
        ValueError: The record is damaged or of other layers.
    """
    epochs = np.array([epoch])
    content = {name: values[None] for name, values in maps.items()}
    if path.exists():
        course = read_course(path)
        kept = course.epochs < epoch
        shapes = {name: values.shape[1:] for name, values in course.maps.items()}
        if shapes != {name: values.shape for name, values in maps.items()}:
            raise UserError(f"{path} must hold maps of this network; remove it to begin anew")
        epochs = np.concatenate([course.epochs[kept], epochs])
        content = {
            name: np.concatenate([course.maps[name][kept], content[name]]) for name in content
        }
    named = {name + _MAPS: values for name, values in content.items()}
    write_bytes(path, save({_EPOCHS: epochs, **named}))


def read_course(path: Path) -> Course:
    """Read what :func:`record_affinity` wrote.

    Raises:
        ValueError: Not such a file, or a damaged one.
        FileNotFoundError: There is no such file.
    """
    try:
        content = load(path.read_bytes())
        epochs = content.pop(_EPOCHS)
    except (SafetensorError, KeyError) as error:
        raise UserError(
            f"{path} must be a record of affinity maps ({type(error).__name__}: {error}); remove it"
        ) from error
    names = sorted(content, key=lambda name: [(len(part), part) for part in name.split(".")])
    return Course(epochs, {name.removesuffix(_MAPS): content[name] for name in names})
