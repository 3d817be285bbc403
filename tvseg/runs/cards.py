"""What checkpoints and exported networks say of themselves; importable without torch."""

from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

import tvseg
from tvseg.data.normalisation import Normalisation
from tvseg.documents import check_tree
from tvseg.errors import UserError
from tvseg.files import parse_json
from tvseg.first_weights import as_stored
from tvseg.settings import SegmentationSettings

METADATA_KEYS = ("tvseg", "tvseg-localizer")
"""Keys of the card in a ``.safetensors`` file: today's, and a former one of localizers."""


class Card(BaseModel):
    """What the checkpoint of any task says of itself, beside its weights.

    Attributes:
        task: Name of the task; cards of earlier versions have none.
        holdout: The centre that it has not seen, or ``none``.
        fingerprint: Of the data it was trained on.
        normalisation: Of the network's input.
        version: Version of tvseg that wrote it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    holdout: str
    fingerprint: str
    normalisation: Normalisation
    version: str = Field(default=tvseg.__version__, max_length=100)

    @field_validator("normalisation")
    @classmethod
    def _is_finite(cls, normalisation: Normalisation) -> Normalisation:
        means, stds = np.atleast_1d(normalisation.mean), np.atleast_1d(normalisation.std)
        sound = np.isfinite(means).all() and (stds > 0).all() and np.isfinite(stds).all()
        if not sound or {len(means), len(stds)} - {1, 3}:
            raise ValueError("must have finite means and positive, finite stds, 1 or 3 of each")
        return normalisation


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

    @field_validator("settings", mode="before")
    @classmethod
    def _may_be_of_an_earlier_version(cls, tree: Any) -> Any:
        return as_stored(tree)


CardT = TypeVar("CardT", bound=Card)


def read_card(kind: type[CardT], text: str, path: Path) -> CardT:
    """Return the card of a file.

    Args:
        kind: Class of the card.
        text: The card, as JSON.
        path: The file, for messages.

    Raises:
        UserError: The card is damaged, or of another task.
    """
    tree = parse_json(text, f"{path}: card")
    task = kind.model_fields["task"].default
    if isinstance(tree, dict) and tree.get("task", task) != task:
        raise UserError(f"{path} holds a network for {tree['task']!s:.80}, not for {task}")
    return check_tree(kind, tree, f"{path}: card")
