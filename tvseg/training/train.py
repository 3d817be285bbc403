"""One training from settings to a finished run folder: the stages in order."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from ignite.engine import Engine, Events
from monai.engines import IterationEvents, SupervisedEvaluator, SupervisedTrainer
from monai.handlers import TensorBoardStatsHandler, ValidationHandler
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from tvseg.data.dataset import ValidationSet
from tvseg.data.normalisation import Normalisation
from tvseg.device import choose_device, choose_precision, keep_freed_memory
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.runs.affinity import affinity_maps, record_affinity
from tvseg.runs.checkpoint import (
    Card,
    load_training,
    network_of,
    save_training,
    save_weights,
    start_from,
)
from tvseg.runs.folder import RunFolder, now, provenance
from tvseg.settings import SegmentationSettings
from tvseg.training.data import Data, images_per_step, make_loader, read_data
from tvseg.training.fit import Numerics, make_optimizer, make_schedule, make_trainer, make_validator


class TrainingDiverged(UserError):  # noqa: N818  (a state of the training, and reads as one)
    """The loss stopped being finite."""


def train(
    settings: SegmentationSettings,
    *,
    holdout: str,
    root: Path | None,
    runs: Path,
    device: str | None = None,
    resume: bool = False,
    command: str = "",
) -> RunFolder:
    """Train one network on all centres but one.

    Args:
        settings: What to train.
        holdout: Letter of the centre to leave out, or ``none``.
        root: Data root, one sub-folder a centre; ``None`` where all is drawn.
        runs: Folder that gets the run folder.
        device: Name of a torch device; ``None`` chooses.
        resume: Go on with an unfinished training of the same settings.
        command: The command line, for the record.

    Returns:
        The finished run folder.

    Raises:
        ValueError: Bad data or settings, or a run folder in the way.
        TrainingDiverged: The loss is not finite; the last epoch's checkpoint stays.
    """
    require("tensorboard")
    run = RunFolder.of(runs, settings, holdout)
    going_on = run.check_free(settings, resume=resume)
    if going_on and run.is_finished():
        return run
    chosen_device = choose_device(device)
    numerics = Numerics(
        chosen_device, choose_precision(settings.precision, chosen_device), Normalisation()
    )
    keep_freed_memory()
    torch.manual_seed(settings.seed)
    network = network_of(settings, pretrained=not (going_on or settings.init))
    if settings.init and not going_on and (random := start_from(network, settings.init)):
        tqdm.write(f"init={settings.init}: {random} tensors, all of ASPP branches, begin at random")
    if settings.train.log_affinity and not affinity_maps(network):
        raise UserError(f"train.log_affinity needs TVConv layers; aspp={settings.aspp} has none")
    data = read_data(root, settings, holdout)
    if images_per_step(settings, data.fold) // settings.train.micro_batches < 2:
        raise UserError(
            "a step, or each of its train.micro_batches, must hold at least 2 images: raise "
            "train.images_per_centre"
        )
    network.to(chosen_device, memory_format=torch.channels_last)
    try:
        with run.lock():
            going_on = run.check_free(settings, resume=resume)
            _open_run(run, settings, holdout, data, numerics, root, command, going_on)
            _Training(settings, holdout, data, run, network, numerics).run_to_end(going_on)
    except Timeout as error:
        raise UserError(f"{run.path} is being written by another training") from error
    return run


def _open_run(
    run: RunFolder,
    settings: SegmentationSettings,
    holdout: str,
    data: Data,
    numerics: Numerics,
    root: Path | None,
    command: str,
    going_on: bool,
) -> None:
    same = {
        "fingerprint": data.fingerprint,
        "precision": str(numerics.autocast or torch.float32).removeprefix("torch."),
    }
    if going_on:
        run.go_on(started=now(), **same)
        return
    about = provenance(command, str(numerics.device))
    about |= {"holdout": holdout, "seed": settings.seed, "data": root and str(root.resolve())}
    run.begin(settings, data.fold.names(), **about, **same)


class _Training:
    """The engines of one training, and what is kept at the end of each epoch."""

    def __init__(
        self,
        settings: SegmentationSettings,
        holdout: str,
        data: Data,
        run: RunFolder,
        network: nn.Module,
        numerics: Numerics,
    ) -> None:
        self.settings, self.holdout, self.data, self.run = settings, holdout, data, run
        self.network, self.numerics = network, numerics
        plan = settings.train
        self.steps = plan.epochs * plan.steps_per_epoch
        self.optimizer = make_optimizer(network, plan.learning_rate)
        self.schedule = make_schedule(
            self.optimizer, steps=self.steps, drop_at=plan.drop_at, drop_factor=plan.drop_factor
        )
        self.validator = self._make_validator()
        self.losses: list[torch.Tensor] = []
        self.learning_rate = plan.learning_rate  # of the latest step
        self.epoch_started = time.monotonic()

    def run_to_end(self, going_on: bool) -> None:
        """Train the epochs that are left, and close the run folder."""
        state = load_training(self.run.last) if going_on else None
        first_epoch = self._restore(state) if state is not None else 0
        self._log_affinity(first_epoch)
        trainer = self._make_trainer(first_epoch)
        with tqdm(total=self.steps, initial=first_epoch * self.settings.train.steps_per_epoch,
                  desc=self.run.path.name, unit="step") as bar:  # fmt: skip
            trainer.add_event_handler(Events.ITERATION_COMPLETED, self._show, bar)
            if first_epoch < self.settings.train.epochs:
                trainer.run()
        self.run.write_info(
            finished=now(),
            train_seconds=sum(float(row["seconds"]) for row in self.run.read_metrics()),
            best_epoch=self.validator.state.best_metric_epoch,
            best_dice=self.validator.state.best_metric,
            chosen=self.data.selection.words,
        )

    def _make_validator(self) -> SupervisedEvaluator:
        examples = ValidationSet(self.data.validation)
        loader = DataLoader(examples, batch_size=16, generator=torch.Generator())
        return make_validator(
            self.network, loader, structures=self.settings.structures, numerics=self.numerics
        )

    def _make_trainer(self, first_epoch: int) -> SupervisedTrainer:
        plan = self.settings.train
        trainer = make_trainer(
            self.network,
            make_loader(self.data, self.settings, first_epoch=first_epoch),
            optimizer=self.optimizer,
            schedule=self.schedule,
            numerics=self.numerics,
            epochs=plan.epochs,
            steps_per_epoch=plan.steps_per_epoch,
            micro_batches=plan.micro_batches,
        )
        trainer.state.epoch = first_epoch
        trainer.state.iteration = first_epoch * plan.steps_per_epoch
        trainer.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check_loss)
        ValidationHandler(1, self.validator).attach(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)  # after the validation
        self._log_to_tensorboard(trainer)
        return trainer

    def _log_to_tensorboard(self, trainer: SupervisedTrainer) -> None:
        folder = str(self.run.tensorboard)
        TensorBoardStatsHandler(
            log_dir=folder, epoch_log=False, output_transform=lambda output: output["loss"]
        ).attach(trainer)
        TensorBoardStatsHandler(
            log_dir=folder,
            iteration_log=False,
            global_epoch_transform=lambda _: trainer.state.epoch,
        ).attach(self.validator)

    def _start_epoch(self, engine: Engine) -> None:
        self.losses = []
        self.epoch_started = time.monotonic()

    def _check_loss(self, engine: Engine) -> None:
        loss = engine.state.output["loss"]
        self.losses.append(loss)
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        if not loss.isfinite():
            raise TrainingDiverged(
                f"loss must stay finite, got {loss.item()} in step {engine.state.iteration} of "
                f"{self.steps} on images {', '.join(engine.state.output['id'])}; "
                f"{self._advice(engine)}"
            )

    def _check_weights(self, engine: Engine) -> None:
        bad = [name for name, p in self.network.named_parameters() if not p.isfinite().all()]
        if bad:
            raise TrainingDiverged(
                f"weights must stay finite, {len(bad)} tensors are not after step "
                f"{engine.state.iteration}, first {bad[0]}; {self._advice(engine)}"
            )

    def _advice(self, engine: Engine) -> str:
        kept = f"{self.run.last} (epoch {engine.state.epoch - 1})"
        return (
            f"last good checkpoint: {kept if self.run.last.exists() else 'none yet'}; look at the "
            "images, lower train.learning_rate, or try precision=fp32"
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

    def _end_epoch(self, engine: Engine) -> None:
        self._check_weights(engine)
        epoch, scores = engine.state.epoch, self.validator.state
        row = {
            "epoch": epoch,
            "loss": round(torch.stack(self.losses).mean().item(), 6),
            "learning_rate": self.learning_rate,
            **{name: round(float(value), 6) for name, value in scores.metrics.items()},
            "seconds": round(time.monotonic() - self.epoch_started, 2),
        }
        self.run.append_metrics(row)  # before the checkpoint: a repeated epoch replaces its row
        self._log_affinity(epoch)
        fingerprint, normalisation = self.data.fingerprint, self.numerics.normalisation
        card = Card(self.settings, self.holdout, fingerprint, epoch, "last epoch", normalisation)
        if scores.best_metric_epoch == epoch:
            best = replace(card, chosen=self.data.selection.words)
            save_weights(self.run.best, self.network, best)
        save_training(self.run.last, self.network, card, self._state())

    def _log_affinity(self, epoch: int) -> None:
        if self.settings.train.log_affinity:
            record_affinity(self.run.affinity, epoch, affinity_maps(self.network))

    def _state(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best_dice": float(self.validator.state.best_metric),
            "best_epoch": int(self.validator.state.best_metric_epoch),
            "random": {
                "cpu": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
        }

    def _restore(self, state: Mapping[str, Any]) -> int:
        """Take up the state of a checkpoint; returns the number of epochs behind it."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.validator.state.best_metric = state["best_dice"]
        self.validator.state.best_metric_epoch = state["best_epoch"]
        torch.set_rng_state(state["random"]["cpu"])
        if torch.cuda.is_available() and state["random"]["cuda"]:
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        return Card.from_json(state["card"]).epoch
