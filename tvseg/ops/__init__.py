"""Translation-variant convolution: the function, the module, and the loops that define them."""

from tvseg.ops.reference import tv_conv2d_reference
from tvseg.ops.tv_conv import TVConv2d, tv_conv2d
from tvseg.ops.weight_generator import WeightGenerator, shared_weights

__all__ = ["TVConv2d", "WeightGenerator", "shared_weights", "tv_conv2d", "tv_conv2d_reference"]
