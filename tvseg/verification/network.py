"""The network of face verification: a backbone that embeds pictures, and the class matrix."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from pytorch_metric_learning.losses import CosFaceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from tvseg.config import read_settings
from tvseg.errors import UsageError, UserError
from tvseg.models.backbones import mobilenet_v2, shufflenet_v2
from tvseg.models.spatial import SPATIAL, SpatialOperator, tvconv
from tvseg.runs.cards import Card
from tvseg.runs.checkpoint import Task
from tvseg.verification.settings import FaceSettings

BACKBONES = {"mobilenet_v2": mobilenet_v2, "shufflenet_v2": shufflenet_v2}


class FaceNetwork(nn.Module):
    """Embed pictures of faces; holds the class matrix of its loss as well.

    Args:
        settings: Which backbone, operator and loss.
        people: Number of people to tell apart in training.
    """

    def __init__(self, settings: FaceSettings, people: int) -> None:
        super().__init__()
        if settings.operator not in SPATIAL:
            raise UsageError(
                f"operator must be one of {', '.join(SPATIAL)}, got {settings.operator}"
            )
        self.backbone = BACKBONES[settings.backbone](
            settings.width,
            operator=_operator_of(settings),
            stages=settings.stages,
            image_size=settings.image_size,
            embedding=settings.embedding,
        )
        self.margin_loss = CosFaceLoss(
            people,
            settings.embedding,
            margin=settings.margin,
            scale=settings.scale,
            weight_init_func=_draw_unit_columns,
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S), x / 127.5 - 1 -> embeddings (B, embedding), not scaled."""
        embedded: Tensor = self.backbone(pictures)
        return embedded

    def loss(self, embedded: Tensor, people: Tensor) -> Tensor:
        """Return the AM-Softmax loss.

        Args:
            embedded: (B, embedding).
            people: (B,), numbers of the people shown.

        Source: AM-Softmax (arXiv:1801.05599), equation 6, the same as CosFace (arXiv:1801.09414).
        """
        value: Tensor = self.margin_loss(embedded, people.long())
        return value


@torch.no_grad()
def _draw_unit_columns(matrix: Tensor) -> None:
    """Draw directions as the published code does: columns of length 1.

    The loss sees directions alone, and a gradient turns a column the less the longer it is. Those
    of the library's start are about sqrt(embedding) long, and hardly turn.
    """
    nn.init.uniform_(matrix, -1, 1)
    matrix.copy_(F.normalize(matrix, dim=0))


def _operator_of(settings: FaceSettings) -> str | SpatialOperator:
    if settings.operator != "tvconv":
        return settings.operator
    return partial(tvconv, **settings.generator.model_dump(exclude={"start"}))


class FaceCard(Card):
    """What a checkpoint of face verification says of itself.

    Attributes:
        settings: The settings of its run.
        people: Number of people that it was trained on.
        epoch: Epoch at whose end the weights were taken, counted from 1.
        chosen: How this epoch was chosen, in words.
    """

    task: Literal["verification"] = "verification"
    holdout: str = "none"
    settings: FaceSettings
    people: int = Field(ge=2, le=10_000_000)
    epoch: int = Field(ge=0, le=1_000_000)
    chosen: str


VERIFICATION = Task(
    FaceCard,
    lambda card: FaceNetwork(card.settings, card.people),
    "tvseg faces train",
)


def load_face_network(path: Path) -> tuple[FaceNetwork, FaceCard]:
    """Rebuild a face network from one file; see :meth:`tvseg.runs.checkpoint.Task.load`."""
    return VERIFICATION.load(path)


def side_of(runs: Sequence[Path]) -> int:
    """Return the picture side in px that all runs were trained for.

    Raises:
        UserError: A folder is no run of this task, or runs differ.
    """
    sides = {
        run: read_settings(run / "config.yaml", FaceSettings).image_size
        for run in runs if (run / "config.yaml").is_file()
    }  # fmt: skip
    if len(sides) < len(runs) or len(set(sides.values())) != 1:
        listed = ", ".join(f"{run.name} {side}" for run, side in sides.items())
        raise UserError(f"runs must be of 'tvseg faces train' and of one image_size, got {listed}")
    return next(iter(sides.values()))


@torch.inference_mode()
def embed(network: nn.Module, pictures: Tensor, *, flip: bool = False) -> Tensor:
    """Embed uint8 pictures.

    Args:
        network: A :class:`FaceNetwork` in eval mode.
        pictures: uint8 (B, 3, S, S) on the network's device.
        flip: Add the embeddings of the mirror images, as InsightFace does.

    Returns:
        float32 (B, embedding), not scaled to length 1.
    """
    images = pictures.float() / 127.5 - 1
    embedded: Tensor = network(images).float()
    return embedded + network(images.flip(-1)).float() if flip else embedded
