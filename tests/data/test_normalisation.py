import torch

from tvseg.data.normalisation import Normalisation

IMAGES = torch.arange(2 * 3 * 4 * 5).to(torch.uint8).reshape(2, 3, 4, 5)


def test_by_default_samples_span_minus_one_to_one() -> None:
    ends = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 3, 1, 2)
    assert Normalisation()(ends).unique().tolist() == [-1, 1]


def test_channels_may_have_statistics_of_their_own() -> None:
    mean, std = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)
    normalised = Normalisation(mean, std)(IMAGES)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    for channel in range(3):
        wanted = (IMAGES[:, channel].float() - mean[channel]) / std[channel]
        assert torch.equal(normalised[:, channel], wanted)
