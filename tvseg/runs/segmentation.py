"""Checkpoints of segmentation networks."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tvseg.models import TVDeepLabV3Plus, build_model
from tvseg.runs.checkpoint import Card, Task
from tvseg.settings import SegmentationSettings


class SegmentationCard(Card):
    """What a checkpoint of a segmentation network says of itself.

    Attributes:
        settings: The settings of its run.
        epoch: Epoch at whose end the weights were taken, counted from 1.
        chosen: How this epoch was chosen, in words.
    """

    task: Literal["segmentation"] = "segmentation"
    settings: SegmentationSettings
    epoch: int = Field(ge=0, le=1_000_000)
    chosen: str


def network_of(settings: SegmentationSettings, *, pretrained: bool) -> TVDeepLabV3Plus:
    """Build the network that settings describe, its encoder pretrained as they say or random."""
    return build_model(
        aspp=settings.aspp,
        aspp_dilation=settings.aspp_dilation,
        encoder=settings.encoder,
        encoder_weights=settings.encoder_weights if pretrained else "none",
        image_size=settings.image_size,
        classes=len(settings.structures),
    )


SEGMENTATION = Task(
    "segmentation",
    SegmentationCard,
    lambda card: network_of(card.settings, pretrained=False),
    "tvseg train",
)


def load_network(path: Path) -> tuple[TVDeepLabV3Plus, SegmentationCard]:
    """Rebuild a segmentation network from one file; see :meth:`Task.load`."""
    return SEGMENTATION.load(path)
