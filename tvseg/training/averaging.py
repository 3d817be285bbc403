"""Which weights of a training are validated and kept: the latest, or an average of them.

Source: Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018;
Arpit et al., Ensemble of Averages, 2022 (moving averages under domain shift);
Wortsman et al., Robust Fine-Tuning of Zero-Shot Models, 2022 (means with the first weights).
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tvseg.errors import UserError
from tvseg.models.batch_norm import refresh_batch_norm
from tvseg.runs.checkpoint import check_weights
from tvseg.settings import ScheduleSettings, TrainSettings
from tvseg.training.distributed import mean_of
from tvseg.training.state import Kept, part

EMA_DECAY = 0.99
"""Of a moving average: it spans about the last hundred steps, and less at first."""


class LatestWeights:
    """The weights of the last step.

    Attributes:
        network: What is validated and kept.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside the network."""
        return {}

    def restore(self, kept: Kept) -> None:
        """Take up a checkpoint.

        Raises:
            UserError: A part is missing or damaged.
        """


class _Averaged(LatestWeights):
    def __init__(self, latest: nn.Module, averaged: AveragedModel) -> None:
        super().__init__(averaged.module)
        self.latest, self.averaged = latest, averaged

    def state(self) -> dict[str, Any]:
        return {"average": self.averaged.state_dict()}

    def restore(self, kept: Kept) -> None:
        _restore(self.averaged, "average", kept)


def _restore(network: nn.Module, name: str, kept: Kept) -> None:
    with part(name, kept.path):
        state = kept.content[name]
        check_weights(network.state_dict(), state, kept.path)
        network.load_state_dict(state)


def _average(
    averages: Sequence[torch.Tensor], latest: Sequence[torch.Tensor], number: torch.Tensor | int
) -> None:
    """Move averages of ``number`` updates, so that the first steps do not count for long."""
    done = int(number)
    decay = min(EMA_DECAY, (1 + done) / (10 + done))
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's
    average(averages, latest, number)


class MovingAverage(_Averaged):
    """An exponential moving average over steps, of weights and statistics of batch norm alike.

    Other buffers, such as temperatures that follow a schedule, are the latest.

    Args:
        network: On its device.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, AveragedModel(network, multi_avg_fn=_average, use_buffers=True))

    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        self.averaged.update_parameters(self.latest)
        for name, layer in self.network.named_modules():
            if not isinstance(layer, _BatchNorm):
                latest = self.latest.get_submodule(name)
                for buffer, value in zip(layer.buffers(False), latest.buffers(False), strict=True):
                    buffer.copy_(value)


class _AtEpochEnds(_Averaged):
    """An average over ends of epochs, with statistics of batch norm taken anew.

    Means of statistics would fit neither network nor their average.

    Args:
        network: On its device.
        plan: Epochs, and when the learning rate drops.
        batches: Makes the inputs that the statistics are taken from; the same at each call.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        plan: ScheduleSettings,
        batches: Callable[[], Iterable[torch.Tensor]],
    ) -> None:
        super().__init__(network, AveragedModel(network))
        self.plan, self.batches = plan, batches

    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1, where it ends an epoch."""
        epoch, within = divmod(step, self.plan.steps_per_epoch)
        if within:
            return
        self._take(epoch)
        if self.averaged.n_averaged > 1:
            refresh_batch_norm(self.network, self.batches())
            _share_batch_norm(self.network)

    def _take(self, epoch: int) -> None:
        """Take in the weights at the end of an epoch, counted from 1."""
        raise NotImplementedError


class EpochAverage(_AtEpochEnds):
    """The mean of the weights at the ends of epochs after the drop of the learning rate.

    Until then the latest weights.
    """

    def _take(self, epoch: int) -> None:
        if epoch - 1 <= self.plan.drop_at * self.plan.epochs:
            self.averaged.n_averaged.zero_()  # the weights before are of the higher rate
        self.averaged.update_parameters(self.latest)


class MeanWithFirst(_AtEpochEnds):
    """The mean of the weights at the end of an epoch and the first ones, as WiSE-FT takes it.

    Until the first epoch ends, the first weights. These should be a trained network's.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        plan: ScheduleSettings,
        batches: Callable[[], Iterable[torch.Tensor]],
    ) -> None:
        super().__init__(network, plan=plan, batches=batches)
        self.averaged.n_averaged.fill_(1)
        self.first = copy.deepcopy(network)

    def _take(self, epoch: int) -> None:
        self.averaged.n_averaged.zero_()
        for network in (self.first, self.latest):  # buffers are of the one that comes last
            self.averaged.update_parameters(network)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside the network: the mean and the first weights."""
        return super().state() | {"first": self.first.state_dict()}

    def restore(self, kept: Kept) -> None:
        """Take up a checkpoint.

        Raises:
            UserError: A part is missing or damaged.
        """
        super().restore(kept)
        _restore(self.first, "first", kept)


def _share_batch_norm(network: nn.Module) -> None:
    """Give all processes the means of the statistics that each has of its share of the images."""
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            for statistic in (layer.running_mean, layer.running_var):
                if statistic is not None:
                    statistic.copy_(mean_of(statistic))


def check_average(plan: TrainSettings) -> None:
    """Raise UserError where the average would be of one epoch."""
    after = plan.epochs - math.floor(plan.drop_at * plan.epochs)
    if plan.average == "swa" and after < 2:
        raise UserError(
            "average=swa needs at least two epochs that end after the drop of the learning rate, "
            f"got {after} of epochs={plan.epochs} with drop_at={plan.drop_at:g}; lower drop_at"
        )


def kept_weights(
    kind: str,
    network: nn.Module,
    *,
    plan: ScheduleSettings,
    batches: Callable[[], Iterable[torch.Tensor]],
) -> LatestWeights:
    """Return the weights to validate and keep.

    Args:
        kind: ``none``, ``swa``, ``ema`` or ``wise``.
        network: On its device, with its first weights.
        plan: See :class:`EpochAverage`.
        batches: See :class:`EpochAverage`.
    """
    if kind in ("swa", "wise"):
        average = EpochAverage if kind == "swa" else MeanWithFirst
        return average(network, plan=plan, batches=batches)
    return MovingAverage(network) if kind == "ema" else LatestWeights(network)
