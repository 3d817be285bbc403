"""The network that looks for the disc in a whole photograph."""

import segmentation_models_pytorch as smp
from torch import nn

from tvseg.models.encoder import check_encoder

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
