"""Layout-aware medical image segmentation with translation-variant convolution (TVConv)."""

__version__ = "0.1.0"
