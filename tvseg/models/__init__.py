"""Networks: DeepLabV3+ whose wide ASPP branches are dense, depthwise or TVConv."""

from tvseg.models.builder import build_model, freeze
from tvseg.models.deeplab import TVDeepLabV3Plus

__all__ = ["TVDeepLabV3Plus", "build_model", "freeze"]
