"""What a checkpoint keeps of a training besides the weights, and how it is taken up again."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from tvseg.documents import check_tree
from tvseg.errors import UserError
from tvseg.runs.cards import read_card
from tvseg.runs.checkpoint import Task, check_weights, load_training
from tvseg.runs.folder import RunFolder
from tvseg.settings import RunSettings

_log = logging.getLogger("tvseg")


@dataclass(frozen=True)
class Kept:
    """A checkpoint to continue from: its file, content and epoch."""

    path: Path
    content: dict[str, Any]
    epoch: int


def read_last(run: RunFolder, task: Task[Any, Any]) -> Kept | None:
    """Read the newest checkpoint of a run that is whole, ``None`` where there is none.

    Raises:
        UserError: There are only damaged ones.
    """
    damage = ""
    for path in run.checkpoints():
        try:
            content = load_training(path)
            epoch = read_card(task.card, content["card"], path).epoch
        except UserError as error:
            damage = str(error)
            _log.warning("%s; looking for the checkpoint before it", error)
            continue
        if damage:
            _log.warning("continuing from %s, epoch %d", path, epoch)
        return Kept(path, content, epoch)
    if damage:
        raise UserError(f"{damage}; no other checkpoint is left: train anew with --overwrite")
    return None


def take_up(
    run: RunFolder,
    task: Task[Any, Any],
    settings: RunSettings,
    splits: Mapping[str, list[str]],
    about: Mapping[str, Any],
    **same: Any,
) -> Kept | None:
    """Return the checkpoint that a training continues from.

    Where it begins there is none, and what is known before the first step is written.

    Args:
        run: The folder, open.
        task: Of the run.
        settings: Of the training.
        splits: Cases by the name of their split.
        about: Other keys of ``run.json``.
        same: Keys of ``run.json`` that must be as at the beginning.

    Raises:
        UserError: There are only damaged checkpoints, or the circumstances have changed.
    """
    kept = read_last(run, task)
    if kept is None:
        run.begin(settings, splits, **about, **same)
        return None
    run.continue_with(about, **same)
    if kept.path == run.previous:  # the last one is gone or damaged, and must not replace it
        run.previous.replace(run.last)
    return kept


class Progress(BaseModel):
    """How far a training is.

    Attributes:
        step: Steps done.
        losses: Of the steps of the epoch, where it is not finished.
        seconds: Of the epoch.
        best_score: Of the best epoch.
        best_epoch: Counted from 1; -1 before the first one ends.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    step: int = Field(ge=0)
    losses: list[float] = []
    seconds: float = 0.0
    best_score: float
    best_epoch: int


def state_of(optimizer: torch.optim.Optimizer, progress: Progress) -> dict[str, Any]:
    """Return what must be kept to continue: progress, optimizer, random generators."""
    return {
        "progress": progress.model_dump(),
        "optimizer": {"state": optimizer.state_dict()["state"]},
        "random": {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        },
    }


def restore(
    kept: Kept,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    steps_per_epoch: int,
) -> Progress:
    """Take up a checkpoint; only tensors and numbers are read from it.

    Args:
        kept: The checkpoint; those of earlier versions have no progress but the card's epoch.
        network: Gets its weights.
        optimizer: Gets its moments; learning rates stay as they are.
        steps_per_epoch: Of the training.

    Raises:
        UserError: A part is missing or damaged.
    """
    content, path = kept.content, kept.path
    check_weights(network.state_dict(), content["network"], path)
    network.load_state_dict(content["network"])
    with part("optimizer", path):
        _restore_moments(optimizer, content["optimizer"]["state"])
    with part("random", path):
        torch.set_rng_state(content["random"]["cpu"])
        for number, state in enumerate(content["random"]["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, number)
    with part("progress", path):
        tree = content.get("progress") or {
            "step": kept.epoch * steps_per_epoch,
            "best_score": content["best_dice"],
            "best_epoch": content["best_epoch"],
        }
    return check_tree(Progress, tree, f"{path}: part progress")


def _restore_moments(optimizer: torch.optim.Optimizer, moments: Mapping[int, Any]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for number, kept in moments.items():
        shapes = {name: value.shape for name, value in kept.items()}
        shape = parameters[number].shape
        if shapes not in (
            {"step": torch.Size(), "exp_avg": shape, "exp_avg_sq": shape},  # Adam
            {"momentum_buffer": shape},  # SGD
        ):
            raise ValueError(f"moments of parameter {number} have shapes {shapes}")
        if not all(value.is_floating_point() and value.isfinite().all() for value in kept.values()):
            raise ValueError(f"moments of parameter {number} are not finite numbers")
    optimizer.load_state_dict(
        {"state": moments, "param_groups": optimizer.state_dict()["param_groups"]}
    )


@contextmanager
def part(name: str, path: Path) -> Iterator[None]:
    """Raise UserError, with what to do, where a part of a checkpoint cannot be taken up."""
    try:
        yield
    except Exception as error:  # what is read may have any shape
        reason = " ".join(str(error).split())[:150]
        raise UserError(
            f"{path}: its part {name} is missing or damaged ({type(error).__name__}: {reason}); "
            "remove the file to continue from the checkpoint before it, if there is one, or train "
            "anew with --overwrite"
        ) from error
