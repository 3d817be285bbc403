"""The training loop of every task: checkpoints, exact resume, logs and an orderly stop."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents, SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import nn
from tqdm import tqdm

from tvseg.runs.affinity import affinity_maps, record_affinity
from tvseg.runs.cards import Card
from tvseg.runs.checkpoint import save_training, save_weights
from tvseg.runs.folder import RunFolder
from tvseg.runs.provenance import now
from tvseg.settings import RunSettings, ScheduleSettings
from tvseg.training.averaging import LatestWeights
from tvseg.training.curves import attach_curves
from tvseg.training.distributed import (
    any_of,
    copy_buffers,
    first_then_others,
    on_first,
    once,
    parallel,
    processes,
    rank,
    seed_step,
)
from tvseg.training.fit import (
    Batch,
    Loss,
    Numerics,
    Rate,
    TrainingDiverged,
    check_loss,
    make_trainer,
)
from tvseg.training.state import Kept, Progress, restore, state_of
from tvseg.training.stop import TrainingStopped, stop_on_sigterm

STEPS_PER_LINE = 10
"""Steps from one line of a verbose log to the next."""

_log = logging.getLogger("tvseg.training")


class TrainingLoop:
    """Fits a network, validates it after each epoch, and keeps the best and the last epoch.

    Where several processes train together, all validate their shares, and the first one writes.

    Args:
        run: The folder to write, locked.
        network: On the device.
        plan: Epochs and steps.
        loss: Of outputs and labels.
        optimizer: Of the network's parameters.
        rate: Learning rate of each step over that of the first one.
        numerics: Device, autocast type, normalisation.
        make_loader: Number of the first step, from 0 -> batches of the rest of the training.
        validator: Computes the key metric and others of the network; its best epoch is kept.
        card: Of checkpoints, but for ``epoch`` and ``chosen``, which are those of the last epoch.
        chosen: How the best epoch is chosen, in words.
        settings: Of the run: its seed, and where its curves go.
        before_step: Called with the number of each step, from 0, before it.
        weights: Those that are validated and kept as the best; by default the latest.
    """

    def __init__(
        self,
        run: RunFolder,
        network: nn.Module,
        *,
        plan: ScheduleSettings,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        rate: Rate,
        numerics: Numerics,
        make_loader: Callable[[int], Iterable[Batch]],
        validator: SupervisedEvaluator,
        card: Card,
        chosen: str,
        settings: RunSettings,
        before_step: Callable[[int], None] = lambda step: None,
        weights: LatestWeights | None = None,
    ) -> None:
        self.run, self.network, self.plan, self.loss = run, network, plan, loss
        self.optimizer, self.rate, self.before_step = optimizer, rate, before_step
        self.numerics, self.make_loader, self.validator = numerics, make_loader, validator
        self.card, self.chosen, self.settings = card, chosen, settings
        self.weights = weights or LatestWeights(network)
        self.steps = plan.epochs * plan.steps_per_epoch
        self.losses: list[torch.Tensor] = []  # of the epoch
        self.seconds = 0.0  # of the epoch, before this process took it up
        self.started = time.monotonic()
        self.learning_rate = plan.learning_rate  # of the latest step
        self.stop = threading.Event()

    def run_to_end(self, kept: Kept | None) -> None:
        """Train the steps that are left, and close the run folder.

        Args:
            kept: Checkpoint to continue from, ``None`` to begin.

        Raises:
            UserError: A part of the checkpoint is missing or damaged.
            TrainingDiverged: The loss or the weights are not finite; the last checkpoint stays.
            TrainingStopped: SIGTERM arrived; the step was finished and saved.
        """
        first_step = 0 if kept is None else first_then_others(lambda: self._restore(kept))
        if first_step == 0:
            on_first(lambda: self._log_affinity(0))
        trainer = make_trainer(
            parallel(self.network),
            self.make_loader(first_step),
            loss=self.loss,
            optimizer=self.optimizer,
            rate=self.rate,
            numerics=self.numerics,
            epochs=self.plan.epochs,
            steps_per_epoch=self.plan.steps_per_epoch,
            micro_batches=self.plan.micro_batches,
            first_step=first_step,
        )
        self._attach(trainer)
        quiet: dict[str, Any] = {"disable": True} if rank() else {}
        name = self.run.path.name
        bar = tqdm(total=self.steps, initial=first_step, desc=name, unit="step", **quiet)
        with stop_on_sigterm() as self.stop, bar:
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._show, bar)
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stop_in_epoch)
            if first_step < self.steps:
                trainer.run()
        on_first(self._close)

    def _close(self) -> None:
        self.run.write_info(
            finished=now(),
            train_seconds=sum(float(row["seconds"]) for row in self.run.read_metrics()),
            best_epoch=self.validator.state.best_metric_epoch,
            **{f"best_{self.validator.state.key_metric_name}": self.validator.state.best_metric},
            chosen=self.chosen,
        )
        self.run.previous.unlink(missing_ok=True)

    def _attach(self, trainer: SupervisedTrainer) -> None:
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        trainer.add_event_handler(Events.ITERATION_STARTED, self._start_step)
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check_loss)
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: self.weights.update(engine.state.iteration)
        )
        trainer.add_event_handler(
            Events.EPOCH_COMPLETED, lambda: copy_buffers(self.weights.network)
        )
        ValidationHandler(1, self.validator).attach(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)  # after the validation
        if rank() == 0:
            attach_curves(trainer, self.validator, run=self.run, settings=self.settings)

    def _start_epoch(self, engine: Engine) -> None:
        if engine.state.iteration % self.plan.steps_per_epoch == 0:
            self.losses, self.seconds = [], 0.0
        self.started = time.monotonic()

    def _start_step(self, engine: Engine) -> None:
        step = engine.state.iteration - 1
        seed_step(self.settings.seed, step)
        self.before_step(step)

    def _check_loss(self, engine: Engine) -> None:
        self.losses.append(engine.state.output["loss"])
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        try:
            check_loss(engine)
        except TrainingDiverged as error:
            raise once(TrainingDiverged(f"{error}; {self._advice()}")) from error

    def _check_weights(self, engine: Engine) -> None:
        bad = [name for name, p in self.network.named_parameters() if not p.isfinite().all()]
        if bad:
            tensors = "1 tensor is" if len(bad) == 1 else f"{len(bad)} tensors are"
            raise TrainingDiverged(
                f"weights must stay finite, {tensors} not after step "
                f"{engine.state.iteration}, first {bad[0]}; {self._advice()}"
            )

    def _advice(self) -> str:
        rows = self.run.read_metrics()
        kept = f"{self.run.last} (epoch {rows[-1]['epoch']})" if rows else "none yet"
        return (
            f"last good checkpoint: {kept}; check the images, lower train.learning_rate, or try "
            "precision=fp32"
        )

    def _show(self, engine: Engine, bar: "tqdm[Any]") -> None:
        bar.update()
        if not bar.disable:
            images = len(engine.state.output["id"]) * processes()
            rate = bar.format_dict["rate"] or 0.0
            bar.set_postfix_str(
                f"loss {engine.state.output['loss'].item():.4f}, lr {self.learning_rate:.1e}, "
                f"{images * rate:.1f} images/s",
                refresh=False,
            )
        if engine.state.iteration % STEPS_PER_LINE == 0 and _log.isEnabledFor(logging.DEBUG):
            loss = engine.state.output["loss"].item()
            _log.debug("step %d/%d: loss %.4f", engine.state.iteration, self.steps, loss)

    def _stop_in_epoch(self, engine: Engine) -> None:
        inside = engine.state.iteration % self.plan.steps_per_epoch != 0
        if inside and any_of(self.stop.is_set()):  # else the epoch's end saves this step
            on_first(lambda: self._check_weights(engine))
            on_first(lambda: self._save(engine))
            self._raise_stopped(engine)

    def _raise_stopped(self, engine: Engine) -> None:
        done = f"after step {engine.state.iteration} of {self.steps}"
        raise once(TrainingStopped.of(self.run.path, done))

    def _end_epoch(self, engine: Engine) -> None:
        on_first(lambda: self._keep_epoch(engine))
        if any_of(self.stop.is_set()) and engine.state.epoch < self.plan.epochs:
            self._raise_stopped(engine)

    def _keep_epoch(self, engine: Engine) -> None:
        self._check_weights(engine)
        epoch, scores = engine.state.epoch, self.validator.state
        row = {
            "epoch": epoch,
            "loss": round(torch.stack(self.losses).mean().item(), 6),
            "learning_rate": self.learning_rate,
            **{name: round(float(value), 6) for name, value in scores.metrics.items()},
            "seconds": round(self.seconds + time.monotonic() - self.started, 2),
        }
        self.run.append_metrics(row)  # before the checkpoint: a repeated epoch replaces its row
        self._log_affinity(epoch)
        if scores.best_metric_epoch == epoch:
            best = self.card.model_copy(update={"epoch": epoch, "chosen": self.chosen})
            save_weights(self.run.best, self.weights.network, best)
        self._save(engine)
        self._log_epoch(row, len(engine.state.output["id"]) * processes())

    def _log_epoch(self, row: Mapping[str, Any], images: int) -> None:
        epochs, seconds = self.plan.epochs, max(row["seconds"], 0.01)
        _log.info(
            "epoch %d/%d: loss %.4f, %s %.1f (best %.1f of epoch %d), %.1f images/s, %.1f min left",
            row["epoch"],
            epochs,
            row["loss"],
            self.validator.state.key_metric_name.capitalize(),
            100 * float(row[self.validator.state.key_metric_name]),
            100 * self.validator.state.best_metric,
            self.validator.state.best_metric_epoch,
            images * self.plan.steps_per_epoch / seconds,
            (epochs - row["epoch"]) * seconds / 60,
        )

    def _log_affinity(self, epoch: int) -> None:
        if self.plan.log_affinity:
            record_affinity(self.run.affinity, epoch, affinity_maps(self.weights.network))

    def _save(self, engine: Engine) -> None:
        step = engine.state.iteration
        progress = Progress(
            step=step,
            losses=[loss.item() for loss in self.losses],
            seconds=self.seconds + time.monotonic() - self.started,
            best_score=float(self.validator.state.best_metric),
            best_epoch=int(self.validator.state.best_metric_epoch),
        )
        card = self.card.model_copy(update={"epoch": step // self.plan.steps_per_epoch})
        state = state_of(self.optimizer, progress) | self.weights.state()
        save_training(self.run.last, self.network, card, state, previous=self.run.previous)

    def _restore(self, kept: Kept) -> int:
        """Take up a checkpoint; return the number of steps behind it."""
        progress = restore(
            kept, self.network, self.optimizer, steps_per_epoch=self.plan.steps_per_epoch
        )
        self.weights.restore(kept)
        device = self.numerics.device
        self.losses = [torch.tensor(loss, device=device) for loss in progress.losses]
        self.seconds = progress.seconds
        self.validator.state.best_metric = progress.best_score
        self.validator.state.best_metric_epoch = progress.best_epoch
        return progress.step
