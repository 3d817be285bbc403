"""DeepLabV3+ with a choice of ASPP branches, as a segmentation_models_pytorch model.

Source: DeepLabV3+ (arXiv:1802.02611); TVConv (CVPR 2022), section 4.2.
"""

from collections.abc import Sequence
from typing import Any

import torch
from segmentation_models_pytorch.base import ClassificationHead, SegmentationHead
from segmentation_models_pytorch.base.hub_mixin import supports_config_loading
from torch import nn
from torch.nn import functional as F
from torchvision.ops.misc import Conv2dNormActivation

from tvseg.errors import UsageError
from tvseg.models.aspp import ASPP, Branch, make_branch
from tvseg.models.encoder import make_encoder
from tvseg.models.enlarged_convolution import convolve_enlarged
from tvseg.models.hub_model import HubModel

LOW_LEVEL_CHANNELS = 48  # of the stride-4 map after its 1x1 convolution


class Decoder(nn.Module):
    """ASPP on the last map, joined with the stride-4 map.

    Args:
        encoder_channels: Channels of the encoder's maps, finest first.
        channels: Channels of the ASPP and of the output.
        branch: Makes one wide ASPP branch.
        rates: Atrous rates of the wide branches.
        dropout: Dropout behind the ASPP.

    Attributes:
        mixes_first: Whether the maps of the ASPP are convolved before they are enlarged, which
            gives the same up to rounding in a quarter of the multiplications. Trainings on
            processors always do; predictors do where this is set.
    """

    mixes_first = False

    def __init__(
        self,
        encoder_channels: Sequence[int],
        channels: int,
        *,
        branch: Branch,
        rates: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.aspp = ASPP(
            encoder_channels[-1], channels, branch=branch, rates=rates, dropout=dropout
        )
        self.low_level = Conv2dNormActivation(encoder_channels[2], LOW_LEVEL_CHANNELS, 1)
        self.fuse = Conv2dNormActivation(channels + LOW_LEVEL_CHANNELS, channels, 3)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Maps (B, C_i, H / s_i, W / s_i), finest first -> (B, channels, H / 4, W / 4)."""
        low = self.low_level(features[2])  # (B, 48, H / 4, W / 4)
        wide = self.aspp(features[-1])  # (B, channels, H / 16, W / 16)
        if self.mixes_first or (self.training and wide.device.type == "cpu"):
            return self._fuse_mixed(wide, low)
        wide = F.interpolate(wide, size=low.shape[-2:], mode="bilinear", align_corners=False)
        fused: torch.Tensor = self.fuse(torch.cat([wide, low], dim=1))
        return fused

    def _fuse_mixed(self, wide: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        convolution, *others = self.fuse
        of_wide, of_low = convolution.weight.split([wide.shape[1], low.shape[1]], dim=1)
        fused = F.conv2d(low, of_low, convolution.bias, padding=1)
        fused = fused + convolve_enlarged(wide, of_wide, (low.shape[2], low.shape[3]))
        for layer in others:
            fused = layer(fused)
        return fused


class Head(SegmentationHead):  # type: ignore[misc]
    """A 1x1 convolution and bilinear upsampling without aligned corners."""

    def __init__(
        self, in_channels: int, classes: int, *, activation: str | None, upsampling: int
    ) -> None:
        super().__init__(in_channels, classes, kernel_size=1, activation=activation)
        if upsampling > 1:
            self[1] = nn.Upsample(scale_factor=upsampling, mode="bilinear", align_corners=False)


class TVDeepLabV3Plus(HubModel):
    """DeepLabV3+ with dense, depthwise or TVConv branches in its ASPP.

    Takes images (B, in_channels, H, W), H and W multiples of the output stride, and returns logits
    (B, classes, H, W). The head, weight generators included, starts kaiming-normal.

    Args:
        encoder_name: An encoder of segmentation_models_pytorch.
        encoder_depth: Stages of the encoder in use, 3 to 5.
        encoder_weights: See :func:`tvseg.models.encoder.make_encoder`.
        encoder_output_stride: 8 or 16.
        decoder_channels: Channels of the ASPP and behind it.
        decoder_atrous_rates: Rates of the three wide branches.
        decoder_aspp_dropout: Dropout behind the ASPP.
        in_channels: Channels of the image.
        classes: Channels of the output.
        activation: ``None`` for logits, or what segmentation_models_pytorch offers.
        upsampling: Factor from the decoder's stride 4 to the output.
        aux_params: Options of an image classification head on the encoder, ``None`` for no head.
        aspp: ``dense`` or a spatial operator, see :func:`tvseg.models.aspp.make_branch`.
        aspp_dilation: ``none`` or ``atrous``, see :func:`tvseg.models.aspp.make_branch`.
        image_size: Side or (height, width) in px of the images that TVConv's weights are made for;
            other sizes resample them.
        generator_padding: Of ``tvconv`` branches, see :class:`tvseg.ops.TVConv2d`.
        dynamic_bias: Of ``tvconv`` branches, likewise.
        align: Of ``tvconv`` branches, likewise.

    Raises:
        UsageError: An unknown variant or encoder, or an encoder depth outside 3 to 5.
    """

    _is_torch_scriptable = False  # the operators branch on the memory format of their maps

    @supports_config_loading  # type: ignore[untyped-decorator]
    def __init__(
        self,
        encoder_name: str = "mobilenet_v2_320",
        encoder_depth: int = 5,
        encoder_weights: str | None = "imagenet",
        encoder_output_stride: int = 16,
        decoder_channels: int = 256,
        decoder_atrous_rates: Sequence[int] = (6, 12, 18),
        decoder_aspp_dropout: float = 0.1,
        in_channels: int = 3,
        classes: int = 1,
        activation: str | None = None,
        upsampling: int = 4,
        aux_params: dict[str, Any] | None = None,
        aspp: str = "tvconv",
        aspp_dilation: str = "none",
        image_size: int | Sequence[int] = 256,
        generator_padding: str = "zeros",
        dynamic_bias: bool = False,
        align: bool = False,
    ) -> None:
        super().__init__()
        if encoder_depth not in (3, 4, 5):
            raise UsageError(f"encoder_depth must be 3, 4 or 5, got {encoder_depth}")
        self.name = f"tvdeeplabv3plus-{aspp}-{encoder_name}"
        sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        stride = min(encoder_output_stride, 2**encoder_depth)
        branch = make_branch(  # before the encoder, whose weights may have to be downloaded
            aspp, aspp_dilation=aspp_dilation, size=(sides[0] // stride, sides[1] // stride),
            generator_padding=generator_padding, dynamic_bias=dynamic_bias, align=align,
        )  # fmt: skip
        self.encoder = make_encoder(
            encoder_name, in_channels=in_channels, depth=encoder_depth,
            weights=encoder_weights, output_stride=encoder_output_stride,
        )  # fmt: skip
        self.decoder = Decoder(
            self.encoder.out_channels, decoder_channels,
            branch=branch, rates=tuple(decoder_atrous_rates), dropout=decoder_aspp_dropout,
        )  # fmt: skip
        self.segmentation_head = Head(
            decoder_channels, classes, activation=activation, upsampling=upsampling
        )
        self.classification_head = (
            ClassificationHead(in_channels=self.encoder.out_channels[-1], **aux_params)
            if aux_params
            else None
        )
        self.initialize()

    def initialize(self) -> None:
        """Draw the head's weights kaiming-normal, as the published code does; keep the encoder."""
        for module in (self.decoder, self.segmentation_head, self.classification_head):
            for layer in module.modules() if module is not None else ():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(layer.weight)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)
