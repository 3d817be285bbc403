"""The operators that the paper compares with TVConv, one per file.

`tvseg.models.spatial` names them. All but the dynamic 1x1 convolution map (B, C, H, W) to
(B, C, ceil(H / stride), ceil(W / stride)). Letters in comments: B images, C channels, G groups or
heads, D channels of a head, T = k * k taps, N = Ho * Wo output pixels.
"""
