import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tvseg.models import build_model
from tvseg.models.enlarged_convolution import convolve_enlarged
from tvseg.models.inference_form import prepare_for_inference


@pytest.mark.parametrize(
    ("small", "large"), [((4, 4), (16, 16)), ((3, 5), (12, 7)), ((1, 2), (2, 9))]
)
def test_mixing_channels_first_is_the_convolution_of_enlarged_maps(
    small: tuple[int, int], large: tuple[int, int]
) -> None:
    draws = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 6, *small, generator=draws, dtype=torch.float64)
    weight = torch.randn(4, 6, 3, 3, generator=draws, dtype=torch.float64)
    enlarged = F.interpolate(maps, large, mode="bilinear", align_corners=False)
    expected = F.conv2d(enlarged, weight, padding=1)
    torch.testing.assert_close(convolve_enlarged(maps, weight, large), expected)


@pytest.mark.parametrize("aspp", ["dense", "depthwise", "tvconv"])
def test_the_form_for_inference_gives_the_same_logits(aspp: str) -> None:
    torch.manual_seed(0)
    network = build_model(aspp=aspp, image_size=64)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    network(images)  # statistics of batch norms that are not 0 and 1
    with torch.inference_mode():
        expected = network.eval()(images)
        prepare_for_inference(network)
        found = network(images)
    left = sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    assert left == (3 if aspp == "tvconv" else 0)  # behind what is no convolution of torch
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.std()), rtol=1e-4)
