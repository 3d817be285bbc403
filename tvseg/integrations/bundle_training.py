"""What the configs of an exported MONAI bundle name for evaluation and training.

Exported configs outlive refactorings: names and arguments here stay as they are.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import nn
from torch.utils.data import DataLoader

from tvseg.data.dataset import ValidationSet
from tvseg.runs.cards import SegmentationCard
from tvseg.settings import SegmentationSettings
from tvseg.training.data import Data, check_step, make_loader, read_data
from tvseg.training.fit import (
    Numerics,
    drop_once,
    make_optimizer,
    make_trainer,
    make_validator,
)
from tvseg.training.losses import LOSSES

_log = logging.getLogger("tvseg")


def read(card: SegmentationCard, folder: str, holdout: str, on_target: bool = False) -> Data:
    """Read the centres' folders.

    Args:
        card: Of the network.
        folder: Data root, as ``tvseg train`` takes it.
        holdout: Centre to leave out, or ``none``.
        on_target: Validate on the test split of the centre left out instead of the others'.
    """
    selection = "target" if on_target and holdout != "none" else "sources"
    return read_data(Path(folder), card.settings, holdout, selection=selection)


def validation_set(data: Data) -> ValidationSet:
    """Return the images to validate on, at the network's size."""
    return ValidationSet(data.validation)


def validator(
    network: nn.Module, dataset: ValidationSet, card: SegmentationCard, device: torch.device
) -> SupervisedEvaluator:
    """Return the engine that computes ``dice``, and the same of each structure."""
    return make_validator(
        network,
        DataLoader(dataset, batch_size=16),
        structures=card.settings.structures,
        numerics=_numerics(card, device),
    )


def batches(
    data: Data, card: SegmentationCard, epochs: int, steps_per_epoch: int, images_per_centre: int
) -> "DataLoader[dict[str, object]]":
    """Return the batches of a whole training, drawn and augmented as ``tvseg train`` does."""
    plan = {
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "images_per_centre": images_per_centre,
    }
    train = card.settings.train.model_copy(update=plan)
    settings = card.settings.model_copy(update={"train": train})
    check_step(settings, len(data.fold.sources))
    return make_loader(data, settings, first_step=0)


def trainer(
    network: nn.Module,
    loader: "DataLoader[Any]",
    card: SegmentationCard,
    device: torch.device,
    epochs: int,
    steps_per_epoch: int,
    learning_rate: float,
) -> SupervisedTrainer:
    """Return the engine that fits the network, with the card's loss, micro-batches and rates.

    Averages of weights, MixStyle and the choice of epochs by ``lodo`` or ``last`` are of ``tvseg
    train`` alone; a warning names those that the network was trained with.
    """
    _warn_of_keys_left_out(card.settings)
    changed = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    plan = card.settings.train.model_copy(update=changed)
    maps = card.settings.tvconv
    optimizer = make_optimizer(
        network,
        learning_rate,
        affinity_rate=maps.affinity_rate,
        affinity_decay=maps.affinity_decay,
    )
    return make_trainer(
        network,
        loader,
        loss=LOSSES[plan.loss],
        optimizer=optimizer,
        rate=drop_once(plan),
        numerics=_numerics(card, device),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        micro_batches=plan.micro_batches,
    )


def _warn_of_keys_left_out(settings: SegmentationSettings) -> None:
    left_out = []
    if settings.train.average != "none":
        left_out.append(f"train.average={settings.train.average}")
    if settings.mixstyle:
        left_out.append(f"mixstyle={settings.mixstyle:g}")
    if settings.selection in ("lodo", "last"):
        left_out.append(f"selection={settings.selection}")
    if left_out:
        _log.warning(
            "this training goes without %s of the network's settings; 'tvseg train' has them",
            ", ".join(left_out),
        )


def _numerics(card: SegmentationCard, device: torch.device) -> Numerics:
    return Numerics(device, None, card.normalisation)
