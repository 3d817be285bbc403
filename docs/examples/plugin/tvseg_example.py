"""A kind of raw material and a spatial operator that tvseg finds once this package is installed."""

import re
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from tvseg.data.prepare.adapters import Adapter
from tvseg.data.prepare.raw_case import Choices, Found, RawCase, pair, read_binaries
from tvseg.data.prepare.raw_files import RawFile

PHOTOGRAPH = re.compile(r"photos/(P\d+)_([LR])\.png$")
MASK = re.compile(r"drawn/(P\d+)_([LR])_(cup|disc)\.png$")


def find(files: Sequence[RawFile], choices: Choices) -> Found:
    """Pair photos/P7_L.png with drawn/P7_L_cup.png and drawn/P7_L_disc.png, of patient P7."""
    photographs, masks = [], []
    for file in files:
        if match := PHOTOGRAPH.search(file.name):
            photographs.append((f"{match[1]}_{match[2]}", file))
        elif match := MASK.search(file.name):
            masks.append((f"{match[1]}_{match[2]}", match[3], file))
    pairs, problems = pair(photographs, masks, parts=("cup", "disc"), centre="MyClinic")
    cases = []
    for one in pairs:
        patient, eye = one.key.split("_")
        read = partial(read_binaries, one.masks)
        cases.append(RawCase("MyClinic", one.key, one.photograph, read, patient=patient, eye=eye))
    return Found(cases, problems)


MY_CLINIC = Adapter(find, "photos/PATIENT_EYE.png and drawn/PATIENT_EYE_{cup,disc}.png")


class BiasedDepthwise(nn.Module):
    """A depthwise convolution plus a learned value for every pixel."""

    def __init__(
        self, channels: int, size: tuple[int, int], kernel_size: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size - 1) // 2
        self.convolution = nn.Conv2d(
            channels, channels, kernel_size, stride, padding, dilation, groups=channels
        )
        self.bias = nn.Parameter(torch.zeros(1, 1, *size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / stride), ceil(W / stride))."""
        filtered = self.convolution(x)
        return filtered + F.interpolate(self.bias, size=filtered.shape[-2:], mode="bilinear")


def biased(
    channels: int,
    *,
    size: tuple[int, int],
    kernel_size: int = 3,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Module:
    """Make the operator; see ``tvseg.models.spatial.SpatialOperator``."""
    return BiasedDepthwise(channels, size, kernel_size, stride, dilation)
