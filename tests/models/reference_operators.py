"""The operators as loops over images and pixels, on the weights of their modules: definitions."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from tvseg.models.operators.axial import AxialAttention, LineAttention
from tvseg.models.operators.condconv import CondConv
from tvseg.models.operators.ddf import DecoupledDynamicFilter
from tvseg.models.operators.dynamic_conv import DynamicDepthwise
from tvseg.models.operators.involution import Involution
from tvseg.models.operators.sasa import StandAloneSelfAttention
from tvseg.models.operators.weightnet import WeightNet


def taps_at(x: Tensor, row: int, col: int, k: int, dilation: int) -> Iterator[tuple[int, Tensor]]:
    """Tap number and pixel (C,) of every tap about a pixel of (C, H, W); zeros outside."""
    for tap in range(k * k):
        r = row + (tap // k - k // 2) * dilation
        c = col + (tap % k - k // 2) * dilation
        inside = 0 <= r < x.shape[1] and 0 <= c < x.shape[2]
        yield tap, x[:, r, c] if inside else torch.zeros_like(x[:, 0, 0])


def filtered(
    x: Tensor, kernel: Callable[[int, int], Tensor], k: int, stride: int, dilation: int
) -> Tensor:
    """Filter (C, H, W); `kernel` gives the weights (C, T) of the output pixel (row, col)."""
    rows, cols = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
    out = [
        [
            sum(
                kernel(row, col)[:, tap] * pixel
                for tap, pixel in taps_at(x, row * stride, col * stride, k, dilation)
            )
            for col in range(cols)
        ]
        for row in range(rows)
    ]
    return torch.stack([torch.stack(line, dim=-1) for line in out], dim=-2)


def mean_pooled(x: Tensor, stride: int) -> Tensor:
    """Average (B, C, H, W) over windows of stride x stride, those at the rim over what is there."""
    rows, cols = range(0, x.shape[2], stride), range(0, x.shape[3], stride)
    return torch.stack(
        [
            torch.stack(
                [x[:, :, r : r + stride, c : c + stride].mean((2, 3)) for c in cols], dim=-1
            )
            for r in rows
        ],
        dim=-2,
    )


def normed(x: Tensor, norm: nn.Module) -> Tensor:
    """Batch norm over axis 1 by its definition; running statistics in eval mode."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    mean = x.mean(axes) if norm.training else norm.running_mean
    variance = x.var(axes, unbiased=False) if norm.training else norm.running_var
    scaled = (x - mean.view(shape)) / (variance.view(shape) + norm.eps).sqrt()
    return scaled * norm.weight.view(shape) + norm.bias.view(shape)


def condconv(layer: CondConv, x: Tensor, stride: int, dilation: int) -> Tensor:
    outs = []
    for image in x:
        routing = torch.sigmoid(layer.routing.weight @ image.mean((1, 2)) + layer.routing.bias)
        kernel = sum(r * w for r, w in zip(routing, layer.conv.weight, strict=True))
        kernel = kernel.view(len(image), -1)
        k = round(kernel.shape[1] ** 0.5)
        outs.append(filtered(image, lambda *_, kernel=kernel: kernel, k, stride, dilation))
    return torch.stack(outs)


def dyconv_dw(layer: DynamicDepthwise, x: Tensor, stride: int, dilation: int) -> Tensor:
    outs = []
    first, _, second = layer.attention
    for image in x:
        hidden = (first.weight @ image.mean((1, 2))).clamp(min=0)
        scores = ((second.weight @ hidden + second.bias) / layer.temperature).exp()
        kernel = sum(a * w for a, w in zip(scores / scores.sum(), layer.conv.weight, strict=True))
        kernel = kernel.view(len(image), -1)
        k = round(kernel.shape[1] ** 0.5)
        outs.append(filtered(image, lambda *_, kernel=kernel: kernel, k, stride, dilation))
    return torch.stack(outs)


def weightnet(layer: WeightNet, x: Tensor, stride: int, dilation: int) -> Tensor:
    reduce, hidden, _, last = layer.generator
    outs = []
    for image in x:
        mean = reduce.weight[:, :, 0, 0] @ image.mean((1, 2)) + reduce.bias
        gates = torch.sigmoid(hidden.weight[:, :, 0, 0] @ mean + hidden.bias)
        kernel = last.weight.view(len(image), -1) * gates[:, None]
        k = layer.kernel_size
        outs.append(filtered(image, lambda *_, kernel=kernel: kernel, k, stride, dilation))
    return torch.stack(outs)


def involution(layer: Involution, x: Tensor, stride: int, dilation: int) -> Tensor:
    _, first, norm, _, second = layer.generator
    pooled = mean_pooled(x, stride)
    hidden = torch.einsum("oc,bchw->bohw", first.weight[:, :, 0, 0], pooled)
    hidden = normed(hidden, norm).clamp(min=0)
    shared = x.shape[1] // layer.groups  # channels with the same kernel
    outs = []
    for image, features in zip(x, hidden, strict=True):

        def kernel(row: int, col: int, features: Tensor = features) -> Tensor:
            made = second.weight[:, :, 0, 0] @ features[:, row, col] + second.bias
            return made.view(layer.groups, -1).repeat_interleave(shared, dim=0)

        outs.append(filtered(image, kernel, layer.kernel_size, stride, dilation))
    return torch.stack(outs)


def ddf(layer: DecoupledDynamicFilter, x: Tensor, stride: int, dilation: int) -> Tensor:
    first, _, second = layer.channel
    outs = []
    for image in x:
        hidden = (first.weight[:, :, 0, 0] @ image.mean((1, 2)) + first.bias).clamp(min=0)
        channel = (second.weight[:, :, 0, 0] @ hidden + second.bias).view(len(image), -1)
        channel = channel - channel.mean(1, keepdim=True)
        channel = channel / (channel.std(1, keepdim=True) + 1e-10) * layer.channel_std

        def kernel(row: int, col: int, image: Tensor = image, channel: Tensor = channel) -> Tensor:
            pixel = image[:, row * stride, col * stride]
            made = layer.spatial.weight[:, :, 0, 0] @ pixel + layer.spatial.bias
            made = (made - made.mean()) / (made.std() + 1e-10)
            return channel * made * 2**0.5 / layer.kernel_size

        outs.append(filtered(image, kernel, layer.kernel_size, stride, dilation))
    return torch.stack(outs)


def sasa(layer: StandAloneSelfAttention, x: Tensor, stride: int, dilation: int) -> Tensor:
    width, k = x.shape[1] // layer.heads, layer.kernel_size
    images = []
    for image in x:
        heads = []
        for head in range(layer.heads):
            own = slice(head * width, (head + 1) * width)
            query, key, value = (
                torch.einsum("oc,chw->ohw", conv.weight[own, :, 0, 0], image[own])
                for conv in (layer.query, layer.key, layer.value)
            )
            lines = []
            for row in range(image.shape[1]):
                for col in range(image.shape[2]):
                    keys = dict(taps_at(key, row, col, k, dilation))
                    values = dict(taps_at(value, row, col, k, dilation))
                    scores = []
                    for tap, pixel in keys.items():
                        by_col = layer.col_offsets[head, :, tap % k]
                        by_row = layer.row_offsets[head, :, tap // k]
                        scores.append(query[:, row, col] @ (pixel + torch.cat([by_col, by_row])))
                    weights = torch.stack(scores).exp()
                    weights = weights / weights.sum()
                    lines.append(sum(weights[tap] * pixel for tap, pixel in values.items()))
            heads.append(torch.stack(lines, dim=1).view(width, *image.shape[1:]))
        images.append(torch.cat(heads))
    return mean_pooled(torch.stack(images), stride)


def line_attention(layer: LineAttention, x: Tensor) -> Tensor:
    """(B, C, L) -> (B, C_out, L)."""
    length, width = x.shape[2], layer.width
    half = width // 2
    maps = torch.einsum("oc,bcl->bol", layer.project.weight[:, :, 0], x)
    maps = normed(maps, layer.project_norm)
    of_query, of_key, of_value = layer.embeddings.split([half, half, width])
    scores, values = [], []
    for head in range(layer.groups):
        own = maps[:, head * 2 * width : (head + 1) * 2 * width]
        query, key, value = own.split([half, half, width], dim=1)
        values.append(value)
        terms = torch.zeros(len(x), 3, length, length, dtype=x.dtype)
        for i in range(length):
            for j in range(length):
                terms[:, 0, i, j] = (query[:, :, i] * key[:, :, j]).sum(1)
                terms[:, 1, i, j] = (query[:, :, i] * of_query[:, i - j + length - 1]).sum(1)
                terms[:, 2, i, j] = (key[:, :, j] * of_key[:, j - i + length - 1]).sum(1)
        scores.append(terms)
    stacked = torch.stack(scores, dim=2).flatten(1, 2)  # (B, 3 * G, L, L), heads inside a term
    stacked = normed(stacked, layer.score_norm).view(len(x), 3, layer.groups, length, length).sum(1)
    weights = stacked.exp() / stacked.exp().sum(3, keepdim=True)
    sums = torch.zeros(len(x), layer.groups, width, 2, length, dtype=x.dtype)
    for head in range(layer.groups):
        for i in range(length):
            for j in range(length):
                weight = weights[:, head, i, j, None]
                sums[:, head, :, 0, i] += weight * values[head][:, :, j]
                sums[:, head, :, 1, i] += weight * of_value[:, i - j + length - 1]
    return normed(sums.flatten(1, 3), layer.sum_norm).view(len(x), -1, 2, length).sum(2)


def axial(layer: AxialAttention, x: Tensor, stride: int, dilation: int) -> Tensor:
    assert dilation == 1
    batch, channels, height, width = x.shape
    columns = x.permute(0, 3, 1, 2).reshape(batch * width, channels, height)
    x = line_attention(layer.along_height, columns).view(batch, width, channels, height)
    rows = x.permute(0, 3, 2, 1).reshape(batch * height, channels, width)
    x = line_attention(layer.along_width, rows).view(batch, height, channels, width)
    return mean_pooled(x.permute(0, 2, 1, 3), stride)
