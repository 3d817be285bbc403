"""A network that needs no training, and pictures that it understands."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.data.normalisation import Normalisation
from tvseg.inference.input.find import Photograph
from tvseg.inference.pipeline import Ensemble, Pipeline, Segmentation
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.prediction import Prediction
from tvseg.inference.regions import Locator, whole_pictures
from tvseg.localizer.locate import Location
from tvseg.models.array_network import ArrayNetwork

ENCODING = MaskEncoding({0: ("cup", "disc"), 128: ("disc",), 255: ()}, ("cup", "disc"))


class BrightParts(nn.Module):
    """Says cup where red is above 0.5 and disc where green is above 0 (normalised to -1 ... 1)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, 0] - 0.5, x[:, 1]], dim=1) * 50


class DrawnNetwork(ArrayNetwork):
    image_size = 64
    encoding = ENCODING


def make_network(
    network: nn.Module | None = None, image_size: int = 64, encoding: MaskEncoding = ENCODING
) -> DrawnNetwork:
    made = DrawnNetwork(
        network or BrightParts(), normalisation=Normalisation(), device=torch.device("cpu")
    )
    made.image_size, made.encoding = image_size, encoding
    return made


def make_pipeline(locate: Locator = whole_pictures, *, mirror: bool = False) -> Pipeline:
    return Pipeline(Ensemble([make_network()], mirror=mirror), locate)


def draw_picture(height: int, width: int) -> np.ndarray:
    """A disc in the upper left quarter, its upper half also cup."""
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 8 : height // 2, width // 8 : width // 2, 1] = 255
    image[height // 8 : height // 3, width // 8 : width // 2, 0] = 255
    return image


def draw_field(side: int, row: float, col: float, radius: float) -> np.ndarray:
    """A round disc with a cup of half its size in a dim field."""
    rows, cols = np.mgrid[:side, :side]
    apart = np.hypot(rows - row, cols - col)
    image = np.full((side, side, 3), 40, np.uint8)
    image[apart < radius, 1] = 255
    image[apart < radius / 2, 0] = 255
    return image


def draw_prediction(
    side: int = 300, radius: float = 60, *, um_per_px: float | None = None
) -> Prediction:
    """A wavy disc with a wavy cup at (140, 150), found in a window about it."""
    rows, cols = np.mgrid[:side, :side]
    angle = np.arctan2(rows - 140, cols - 150)
    apart = np.hypot(rows - 140, cols - 150) / (1 + 0.1 * np.sin(3 * angle))
    window = Box.about(140, 150, 2.4 * radius)
    top, left, wide = window.row + 5, window.col + 7, window.side - 12
    masks = np.stack([apart < radius / 2, apart < radius])
    box = Box(top, left, wide, wide)
    placed = PlacedMasks(masks[:, *box.slices], box, side, side)
    disagreement = np.zeros((2, 32, 32), np.float32)
    disagreement[1, 8:16, 8:16] = 0.5
    return Prediction(
        Photograph("one", Path("one.png"), um_per_px=um_per_px),
        draw_field(side, 140, 150, radius),
        "unknown",
        Segmentation(Location(window, 0.9, "field"), placed, None, disagreement),
        ENCODING,
    )
