"""Checkpoints of segmentation networks."""

from typing import Any

from tvseg.models import TVDeepLabV3Plus
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import Task
from tvseg.settings import SegmentationSettings


def network_of(settings: SegmentationSettings, *, pretrained: bool) -> TVDeepLabV3Plus:
    """Build the network that settings describe, its encoder pretrained as they say or random."""
    network: TVDeepLabV3Plus = TVDeepLabV3Plus(
        settings.encoder,
        encoder_weights=settings.encoder_weights if pretrained else "none",
        classes=len(settings.structures),
        aspp=settings.aspp,
        aspp_dilation=settings.aspp_dilation,
        image_size=settings.image_size,
        **tvconv_options(settings),
    )
    return network


def tvconv_options(settings: SegmentationSettings) -> dict[str, Any]:
    """Return the arguments of the network by which TVConv layers differ from published ones."""
    kept = {"generator_padding", "dynamic_bias", "align"}
    return settings.tvconv.model_dump(include=kept, exclude_defaults=True)


SEGMENTATION = Task(
    SegmentationCard, lambda card: network_of(card.settings, pretrained=False), "tvseg train"
)
load_network = SEGMENTATION.load
