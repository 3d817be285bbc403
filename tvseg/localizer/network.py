"""The network that looks for the disc in a whole photograph."""

from dataclasses import dataclass

import numpy as np
import segmentation_models_pytorch as smp
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from tvseg.data.geometry import Box
from tvseg.models.encoder import check_encoder

STRIDE = 4  # of the map that comes out

PRIOR_LOGIT = -3.0
"""Where training begins: a disc covers about one part in twenty."""


class LocalizerNetwork(smp.FPN):  # type: ignore[misc]
    """A light feature pyramid with one output channel, on an encoder that stays as it is.

    (B, 3, H, W), sides multiples of 32, -> logits of the disc (B, 1, H / 4, W / 4).

    Args:
        encoder_name: An encoder of segmentation_models_pytorch, or ``mobilenet_v2_320``.
        pyramid_channels: Channels of the pyramid.
        channels: Channels of the maps that are added up at the end, a multiple of 32.

    Raises:
        ValueError: An unknown encoder.

    Source: feature pyramid networks (arXiv:1612.03144), as in segmentation_models_pytorch.
    """

    def __init__(
        self, encoder_name: str, *, pyramid_channels: int = 48, channels: int = 32
    ) -> None:
        check_encoder(encoder_name)
        super().__init__(
            encoder_name,
            encoder_weights=None,
            decoder_pyramid_channels=pyramid_channels,
            decoder_segmentation_channels=channels,
            decoder_dropout=0.1,
            upsampling=1,
        )
        self.encoder.requires_grad_(False)
        nn.init.constant_(self.segmentation_head[0].bias, PRIOR_LOGIT)

    def train(self, mode: bool = True) -> "LocalizerNetwork":
        """Set the mode of all but the encoder, whose batch norm keeps its statistics."""
        super().train(mode)
        self.encoder.eval()
        return self


@dataclass(frozen=True)
class Sighting:
    """Where a map of logits is highest, in pixels of the picture that the network saw.

    Args:
        row: Centre of the spot.
        col: Centre of the spot.
        diameter_px: Longer side of the spot's box.
        score: The highest logit, averaged over 3 x 3 cells of the map.
    """

    row: float
    col: float
    diameter_px: float
    score: float


def sight(logits: torch.Tensor) -> list[Sighting]:
    """Read maps of logits: the spot about the highest place, cut at half its probability.

    Args:
        logits: (B, 1, H / 4, W / 4), of :class:`LocalizerNetwork`.

    Returns:
        One sighting a map, whatever its score.
    """
    smooth = F.avg_pool2d(logits, 3, stride=1, padding=1, count_include_pad=False)
    fine = F.interpolate(smooth, scale_factor=STRIDE, mode="bilinear", align_corners=False)
    chances = fine[:, 0].sigmoid().cpu().numpy()  # (B, H, W)
    scores = smooth.amax(dim=(1, 2, 3)).tolist()
    return [_spot(chance, score) for chance, score in zip(chances, scores, strict=True)]


def _spot(chance: np.ndarray, score: float) -> Sighting:
    peak = np.unravel_index(int(chance.argmax()), chance.shape)
    labels, _ = ndimage.label(chance >= chance[peak] / 2)
    box = Box.of(labels == labels[peak])
    return Sighting(*box.centre, diameter_px=float(box.side), score=score)
