"""One training step and one validation step, as MONAI's engines run them for every task."""

import logging
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import (
    IterationEvents,
    SupervisedEvaluator,
    SupervisedTrainer,
    default_metric_cmp_fn,
)
from monai.handlers import LrScheduleHandler, MeanDice
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tvseg.data.normalisation import Normalisation
from tvseg.device import autocast
from tvseg.errors import UserError
from tvseg.models.operators.dynamic_conv import set_temperature
from tvseg.ops import shared_weights
from tvseg.runs.affinity import tv_conv_layers
from tvseg.settings import ScheduleSettings
from tvseg.training.distributed import gathered, mean_of, unsynchronised

THRESHOLD = 0.5  # on probabilities, when epochs are compared


Batch = dict[str, Any]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Outputs of the network in float32 and the labels of a batch -> a 0-d tensor."""


Rate = Callable[[int], float]
"""Number of a step, from 0 -> its learning rate over that of the first step."""


class TrainingDiverged(UserError):  # noqa: N818  (a state of the training, and reads as one)
    """The loss or the weights stopped being finite."""


@dataclass(frozen=True)
class Numerics:
    """Device, autocast type (None: fp32) and normalisation of the network's input."""

    device: torch.device
    autocast: torch.dtype | None
    normalisation: Normalisation

    @property
    def precision(self) -> str:
        """Name of the type that networks compute in."""
        return str(self.autocast or torch.float32).removeprefix("torch.")

    @property
    def pins_memory(self) -> bool:
        """Whether batches are copied to the device while it computes."""
        return self.device.type == "cuda"

    def prepare(
        self, batch: Batch, device: torch.device, non_blocking: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return input and labels on the device, as MONAI's engines ask for them.

        Args:
            batch: ``image``, uint8 (B, 3, S, S), and ``label``, uint8 (B, structures, S, S).
            device: Where they go.
            non_blocking: Whether to copy from pinned memory while the device computes.

        Returns:
            float32 (B, 3, S, S), normalised, and float32 (B, structures, S, S).
        """
        images = batch["image"].to(device, non_blocking=non_blocking)
        labels = batch["label"].to(device, non_blocking=non_blocking)
        return self.normalisation(images), labels.float()


def make_optimizer(
    network: nn.Module,
    learning_rate: float,
    *,
    affinity_rate: float = 1.0,
    affinity_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Return Adam as the published code sets it: betas 0.9 and 0.99, no weight decay.

    Args:
        network: On the device.
        learning_rate: Of all parameters but affinity maps.
        affinity_rate: Learning rate of affinity maps, as a multiple of the others'.
        affinity_decay: Decoupled weight decay of affinity maps.
    """
    fused = next(network.parameters()).device.type in ("cuda", "cpu")
    groups: list[dict[str, Any]] = [{"params": list(network.parameters())}]
    if affinity_rate != 1 or affinity_decay != 0:
        maps = [layer.affinity for layer in tv_conv_layers(network).values()]
        known = {id(one) for one in maps}
        others = [one for one in network.parameters() if id(one) not in known]
        decay = {"weight_decay": affinity_decay, "decoupled_weight_decay": True}
        groups = [{"params": others}, {"params": maps, "lr": affinity_rate * learning_rate} | decay]
    return torch.optim.Adam(groups, lr=learning_rate, betas=(0.9, 0.99), fused=fused)


def drop_once(plan: ScheduleSettings) -> Rate:
    """Return a rate that drops once, by ``drop_factor``, after the share ``drop_at`` of steps."""
    first = plan.drop_at * plan.epochs * plan.steps_per_epoch
    return lambda step: plan.drop_factor if step >= first else 1.0


def make_trainer(
    network: nn.Module,
    loader: Iterable[Batch],
    *,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    rate: Rate,
    numerics: Numerics,
    epochs: int,
    steps_per_epoch: int,
    micro_batches: int = 1,
    first_step: int = 0,
) -> SupervisedTrainer:
    """Return an engine that fits a network.

    ``state.output`` holds ``loss`` (a 0-d tensor, the mean over processes) and ``id`` (the cases of
    this process). The loss is there, and not yet in the weights, at
    ``IterationEvents.LOSS_COMPLETED``.

    Args:
        network: On the device, as :func:`tvseg.training.distributed.parallel` returns it.
        loader: Batches from the first step to the end of the training, not of one epoch.
        loss: Of the network's outputs and the labels.
        optimizer: Of the network's parameters, with the learning rate of step 0.
        rate: Learning rate of each step over that of step 0.
        numerics: Device, autocast type, normalisation.
        epochs: Epochs to train.
        steps_per_epoch: Steps in each.
        micro_batches: Parts that a step's batch is computed in, one after another. Part p of n
            takes images p, p + n, p + 2n, ..., and so as many of each centre as the others, and
            one phantom more or less.
        first_step: Step to begin with, counted from 0.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    schedule = LambdaLR(optimizer, rate, last_epoch=first_step - 1)
    trainer = SupervisedTrainer(
        device=numerics.device,
        max_epochs=epochs,
        epoch_length=steps_per_epoch,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        prepare_batch=numerics.prepare,
        non_blocking=numerics.pins_memory,
        iteration_update=partial(_step, numerics=numerics, micro_batches=micro_batches),
        train_handlers=[LrScheduleHandler(schedule, print_lr=False, epoch_level=False)],
        decollate=False,
    )
    trainer.add_event_handler(
        Events.EPOCH_STARTED, lambda engine: set_temperature(engine.network, engine.state.epoch)
    )
    trainer.logger.setLevel(logging.CRITICAL)  # our own errors say more than "run is terminating"
    trainer.state.iteration, trainer.state.epoch = first_step, first_step // steps_per_epoch
    return trainer


def _step(
    engine: SupervisedTrainer, batch: Batch, *, numerics: Numerics, micro_batches: int
) -> dict[str, Any]:
    """Add up the gradients of a batch's parts, and change the weights."""
    engine.network.train()
    engine.optimizer.zero_grad(set_to_none=True)
    inputs, labels = engine.prepare_batch(batch, engine.state.device, engine.non_blocking)
    losses = []
    with shared_weights(engine.network):  # its own backward follows the last part's
        for part in range(micro_batches):
            last = part == micro_batches - 1
            with nullcontext() if last else unsynchronised(engine.network):
                with autocast(numerics.device, numerics.autocast):
                    outputs = engine.inferer(inputs[part::micro_batches], engine.network)
                value = engine.loss_function(outputs.float(), labels[part::micro_batches])
                value = value * (len(outputs) / len(inputs))
                value.backward()
            losses.append(value.detach())
    engine.state.output = {"loss": mean_of(torch.stack(losses).sum()), "id": batch["id"]}
    engine.fire_event(IterationEvents.LOSS_COMPLETED)  # before a bad loss reaches the weights
    engine.optimizer.step()
    return dict(engine.state.output)


def check_loss(engine: Engine) -> None:
    """Raise TrainingDiverged unless the loss of a step is finite."""
    state = engine.state
    if not state.output["loss"].isfinite():
        images = gathered(state.output["id"])
        raise TrainingDiverged(
            f"loss must stay finite, got {state.output['loss'].item()} in step {state.iteration} "
            f"of {state.max_epochs * state.epoch_length} on images {', '.join(images)}"
        )


def make_validator(
    network: nn.Module,
    loader: Iterable[Batch],
    *,
    structures: tuple[str, ...],
    numerics: Numerics,
    kept_epoch: int | None = None,
) -> SupervisedEvaluator:
    """Return an engine that computes ``dice``, the mean over images and structures, and each one's.

    Dice is computed at the network's size, on probabilities above 0.5; a structure that is absent
    from the truth is left out. It compares epochs; the evaluation scores at native size.

    Args:
        network: On the device.
        loader: Batches of what it is validated on.
        structures: Of the network's output.
        numerics: Device, autocast type, normalisation.
        kept_epoch: Epoch that counts as the best whatever its score, and until then the latest;
            ``None`` for that of the highest ``dice``.
    """

    def update(engine: SupervisedEvaluator, batch: Batch) -> Batch:
        engine.network.eval()
        inputs, labels = engine.prepare_batch(batch, engine.state.device, engine.non_blocking)
        with torch.inference_mode(), autocast(numerics.device, numerics.autocast):
            logits = engine.inferer(inputs, engine.network)
        return {"pred": (logits.float().sigmoid() > THRESHOLD).float(), "label": labels}

    def all_channels(output: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return output["pred"], output["label"]

    def one_channel(channel: int) -> Any:
        chosen = slice(channel, channel + 1)
        return lambda output: (output["pred"][:, chosen], output["label"][:, chosen])

    def is_kept(score: float, best: float) -> bool:
        epoch = int(validator.state.epoch)
        return default_metric_cmp_fn(score, best) if kept_epoch is None else epoch <= kept_epoch

    validator = SupervisedEvaluator(
        device=numerics.device,
        val_data_loader=loader,
        network=network,
        prepare_batch=numerics.prepare,
        non_blocking=numerics.pins_memory,
        iteration_update=update,
        key_val_metric={"dice": MeanDice(output_transform=all_channels)},
        additional_metrics={
            f"dice_{name}": MeanDice(output_transform=one_channel(channel))
            for channel, name in enumerate(structures)
        },
        metric_cmp_fn=is_kept,
        decollate=False,
    )
    validator.logger.setLevel(logging.CRITICAL)
    return validator
