import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tvseg.models import TVDeepLabV3Plus, build_model
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


def test_gradients_of_mixing_first_are_those_of_the_convolution_of_enlarged_maps() -> None:
    draws = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 6, 4, 5, generator=draws, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 6, 3, 3, generator=draws, dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(2, 4, 16, 15, generator=draws, dtype=torch.float64)
    enlarged = F.interpolate(maps, (16, 15), mode="bilinear", align_corners=False)
    expected = F.conv2d(enlarged, weight, padding=1)
    found = convolve_enlarged(maps, weight, (16, 15))
    torch.testing.assert_close(
        torch.autograd.grad(found, (maps, weight), cotangent),
        torch.autograd.grad(expected, (maps, weight), cotangent),
    )


def test_a_training_on_a_processor_mixes_channels_before_it_enlarges_maps() -> None:
    torch.manual_seed(0)
    network = TVDeepLabV3Plus(aspp="depthwise", encoder_weights=None, decoder_aspp_dropout=0.0)
    images = torch.rand(2, 3, 64, 64)
    decoder, enlarged = network.decoder, []
    decoder.fuse[0].register_forward_hook(lambda *_: enlarged.append("convolved"))
    logits = network.train()(images)
    assert not enlarged
    features = network.encoder(images)
    decoder.training = False  # of the choice alone: batch norms still take those of the images
    reference = network.segmentation_head(decoder(features))
    assert enlarged
    torch.testing.assert_close(logits, reference, rtol=1e-4, atol=1e-4)


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
