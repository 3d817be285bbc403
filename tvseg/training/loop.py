"""The training loop of every task: checkpoints, exact resume, logs and an orderly stop."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents, SupervisedEvaluator, SupervisedTrainer
from monai.handlers import TensorBoardStatsHandler, ValidationHandler
from torch import nn
from tqdm import tqdm

from tvseg.errors import UserError
from tvseg.runs.affinity import affinity_maps, record_affinity
from tvseg.runs.cards import Card
from tvseg.runs.checkpoint import save_training, save_weights
from tvseg.runs.folder import RunFolder
from tvseg.runs.provenance import now
from tvseg.settings import ScheduleSettings
from tvseg.training.averaging import LatestWeights
from tvseg.training.fit import (
    Batch,
    Loss,
    Numerics,
    Rate,
    TrainingDiverged,
    check_loss,
    make_schedule,
    make_trainer,
)
from tvseg.training.state import Kept, Progress, restore, state_of

STEPS_PER_LINE = 10
"""Steps from one line of a verbose log to the next."""

_log = logging.getLogger("tvseg.training")


class TrainingStopped(UserError):  # noqa: N818  (a state of the training, and reads as one)
    """The process was asked to end (SIGTERM); ``--resume`` continues bit for bit."""

    exit_code = 4


@contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """Set an event at SIGTERM instead of ending the process, in the main thread."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, previous)


class TrainingLoop:
    """Fits a network, validates it after each epoch, and keeps the best and the last epoch.

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
        before_step: Callable[[int], None] = lambda step: None,
        weights: LatestWeights | None = None,
    ) -> None:
        self.run, self.network, self.plan, self.loss = run, network, plan, loss
        self.optimizer, self.rate, self.before_step = optimizer, rate, before_step
        self.numerics, self.make_loader, self.validator = numerics, make_loader, validator
        self.card, self.chosen, self.weights = card, chosen, weights or LatestWeights(network)
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
        first_step = 0 if kept is None else self._restore(kept)
        if first_step == 0:
            self._log_affinity(0)
        trainer = self._make_trainer(first_step)
        with (
            stop_on_sigterm() as self.stop,
            tqdm(total=self.steps, initial=first_step, desc=self.run.path.name, unit="step") as bar,
        ):
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._show, bar)
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stop_in_epoch)
            if first_step < self.steps:
                trainer.run()
        self.run.write_info(
            finished=now(),
            train_seconds=sum(float(row["seconds"]) for row in self.run.read_metrics()),
            best_epoch=self.validator.state.best_metric_epoch,
            **{f"best_{self.validator.state.key_metric_name}": self.validator.state.best_metric},
            chosen=self.chosen,
        )
        self.run.previous.unlink(missing_ok=True)

    def _make_trainer(self, first_step: int) -> SupervisedTrainer:
        plan = self.plan
        schedule = make_schedule(self.optimizer, self.rate, first_step=first_step)
        trainer = make_trainer(
            self.network,
            self.make_loader(first_step),
            loss=self.loss,
            optimizer=self.optimizer,
            schedule=schedule,
            numerics=self.numerics,
            epochs=plan.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            micro_batches=plan.micro_batches,
        )
        trainer.state.iteration = first_step
        trainer.state.epoch = first_step // plan.steps_per_epoch
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        trainer.add_event_handler(
            Events.ITERATION_STARTED, lambda engine: self.before_step(engine.state.iteration - 1)
        )
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check_loss)
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: self.weights.update(engine.state.iteration)
        )
        ValidationHandler(1, self.validator).attach(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)  # after the validation
        folder = str(self.run.tensorboard)
        TensorBoardStatsHandler(
            log_dir=folder, epoch_log=False, output_transform=lambda output: output["loss"]
        ).attach(trainer)
        TensorBoardStatsHandler(
            log_dir=folder,
            iteration_log=False,
            global_epoch_transform=lambda _: trainer.state.epoch,
        ).attach(self.validator)
        return trainer

    def _start_epoch(self, engine: Engine) -> None:
        if engine.state.iteration % self.plan.steps_per_epoch == 0:
            self.losses, self.seconds = [], 0.0
        self.started = time.monotonic()

    def _check_loss(self, engine: Engine) -> None:
        self.losses.append(engine.state.output["loss"])
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        try:
            check_loss(engine)
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{error}; {self._advice()}") from error

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
            images = len(engine.state.output["id"])
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
        if self.stop.is_set() and inside:  # else the epoch ends, and is saved, with this step
            self._save(engine)
            self._raise_stopped(engine)

    def _raise_stopped(self, engine: Engine) -> None:
        raise TrainingStopped(
            f"stopped by SIGTERM after step {engine.state.iteration} of {self.steps}; continue "
            f"{self.run.path} with --resume"
        )

    def _end_epoch(self, engine: Engine) -> None:
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
        self._log_epoch(row, len(engine.state.output["id"]))
        if self.stop.is_set() and epoch < self.plan.epochs:
            self._raise_stopped(engine)

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
            record_affinity(self.run.affinity, epoch, affinity_maps(self.network))

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
