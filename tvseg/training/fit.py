"""The training loop: MONAI's engines around one update step of ours."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents, SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, MeanDice
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tvseg.data.normalisation import Normalisation
from tvseg.device import autocast
from tvseg.models.operators.dynamic_conv import set_temperature
from tvseg.ops import shared_weights

THRESHOLD = 0.5  # on probabilities, when epochs are compared


@dataclass(frozen=True)
class Numerics:
    """Where and how to compute: device, autocast type (None: fp32), normalisation of the input."""

    device: torch.device
    autocast: torch.dtype | None
    normalisation: Normalisation

    def images(self, batch: dict[str, Any]) -> torch.Tensor:
        """uint8 (B, 3, S, S) of a batch -> the network's input on the device."""
        return self.normalisation(batch["image"].to(self.device, non_blocking=True))

    def labels(self, batch: dict[str, Any]) -> torch.Tensor:
        """uint8 (B, structures, S, S) of a batch -> float32 on the device."""
        labels: torch.Tensor = batch["label"].to(self.device, non_blocking=True).float()
        return labels


def make_optimizer(network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Adam as the published code sets it: betas 0.9 and 0.99, no weight decay."""
    fused = next(network.parameters()).device.type in ("cuda", "cpu")
    return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.9, 0.99), fused=fused)


def make_schedule(
    optimizer: torch.optim.Optimizer, *, steps: int, drop_at: float, drop_factor: float
) -> LambdaLR:
    """One drop of the learning rate, by ``drop_factor``, after the share ``drop_at`` of steps."""
    return LambdaLR(optimizer, lambda step: drop_factor if step >= drop_at * steps else 1.0)


def make_trainer(
    network: nn.Module,
    loader: Iterable[dict[str, Any]],
    *,
    optimizer: torch.optim.Optimizer,
    schedule: LambdaLR,
    numerics: Numerics,
    epochs: int,
    steps_per_epoch: int,
    micro_batches: int = 1,
) -> SupervisedTrainer:
    """An engine that fits the network with BCE on logits, over both channels.

    ``state.output`` holds ``loss`` (a 0-d tensor) and ``id`` (the cases of the step).

    Args:
        network: (B, 3, S, S) -> logits (B, structures, S, S), on the device.
        loader: Batches of the whole training, not of one epoch.
        optimizer: Of the network's parameters.
        schedule: Stepped after each step.
        numerics: Device, autocast type, normalisation.
        epochs: Epochs to train.
        steps_per_epoch: Steps in each.
        micro_batches: Equal parts that a step's batch is computed in, one after another. Part p of
            n takes images p, p + n, p + 2n, ..., and so as many of each centre as the others.
    """

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        network.train()
        optimizer.zero_grad(set_to_none=True)
        images, labels = numerics.images(batch), numerics.labels(batch)
        losses = []
        with shared_weights(network):
            for part in range(micro_batches):
                with autocast(numerics.device, numerics.autocast):
                    logits = network(images[part::micro_batches])  # (part, structures, S, S)
                loss = nn.functional.binary_cross_entropy_with_logits(
                    logits.float(), labels[part::micro_batches]
                )
                (loss / micro_batches).backward()  # type: ignore[no-untyped-call]  # torch's
                losses.append(loss.detach())
        engine.state.output = {"loss": torch.stack(losses).mean(), "id": batch["id"]}
        engine.fire_event(IterationEvents.LOSS_COMPLETED)  # before a bad loss reaches the weights
        optimizer.step()
        return dict(engine.state.output)

    trainer = SupervisedTrainer(
        device=numerics.device,
        max_epochs=epochs,
        epoch_length=steps_per_epoch,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=nn.functional.binary_cross_entropy_with_logits,
        iteration_update=update,
        train_handlers=[LrScheduleHandler(schedule, print_lr=False, epoch_level=False)],
        decollate=False,
    )
    trainer.add_event_handler(
        Events.EPOCH_STARTED, lambda engine: set_temperature(network, engine.state.epoch)
    )
    trainer.logger.setLevel(logging.CRITICAL)  # our own errors say more than "run is terminating"
    return trainer


def make_validator(
    network: nn.Module,
    loader: Iterable[dict[str, Any]],
    *,
    structures: tuple[str, ...],
    numerics: Numerics,
) -> SupervisedEvaluator:
    """An engine that computes ``dice``, the mean over images and structures, and one a structure.

    Dice is taken at the network's size, on probabilities above 0.5; a structure that is absent
    from the truth is left out. It compares epochs; the evaluation scores at native size.
    """

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        network.eval()
        with torch.inference_mode(), autocast(numerics.device, numerics.autocast):
            logits = network(numerics.images(batch))
        return {
            "pred": (logits.float().sigmoid() > THRESHOLD).float(),
            "label": numerics.labels(batch),
        }

    def all_channels(output: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return output["pred"], output["label"]

    def one_channel(channel: int) -> Any:
        chosen = slice(channel, channel + 1)
        return lambda output: (output["pred"][:, chosen], output["label"][:, chosen])

    validator = SupervisedEvaluator(
        device=numerics.device,
        val_data_loader=loader,
        network=network,
        iteration_update=update,
        key_val_metric={"dice": MeanDice(output_transform=all_channels)},
        additional_metrics={
            f"dice_{name}": MeanDice(output_transform=one_channel(channel))
            for channel, name in enumerate(structures)
        },
        decollate=False,
    )
    validator.logger.setLevel(logging.CRITICAL)
    return validator
