"""Training of one segmentation network, from settings to a finished run folder."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from tvseg.data.normalisation import Normalisation
from tvseg.device import choose_precision
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.runs.cards import SegmentationCard, read_card
from tvseg.runs.folder import RunFolder
from tvseg.runs.provenance import provenance
from tvseg.runs.segmentation import SEGMENTATION
from tvseg.settings import SegmentationSettings
from tvseg.training.averaging import kept_weights
from tvseg.training.curves import packages_for
from tvseg.training.data import (
    Data,
    images_per_step,
    make_loader,
    make_validation_loader,
    read_data,
)
from tvseg.training.distributed import (
    any_of,
    first_only,
    first_then_others,
    joined,
    on_first,
    once,
    processes,
)
from tvseg.training.fit import Numerics, drop_once, make_optimizer, make_validator
from tvseg.training.lodo import cross_validate, inner_settings
from tvseg.training.loop import TrainingLoop
from tvseg.training.losses import LOSSES
from tvseg.training.prepare import Prepared, prepare
from tvseg.training.state import Kept, take_up
from tvseg.training.stop import TrainingStopped, stop_on_sigterm

REFRESH_IMAGES = 128
"""How many of a training's first images give averages of weights their batch norm statistics."""

_log = logging.getLogger("tvseg")


def train(
    settings: SegmentationSettings,
    *,
    holdout: str,
    root: Path | None,
    runs: Path,
    device: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    inner: bool = False,
) -> RunFolder:
    """Train one network on all centres but one, in all processes that torchrun has started.

    Args:
        settings: What to train.
        holdout: Letter of the centre to hold out, or ``none``.
        root: Data root, one sub-folder a centre; ``None`` where all is drawn.
        runs: Folder that gets the run folder.
        device: Name of a torch device; ``None`` chooses. Under torchrun ``cuda`` or ``cpu``.
        resume: Continue an unfinished training of the same settings, bit for bit.
        overwrite: Replace a run of the name, whatever it holds.
        command: The command line, for the record.
        inner: Whether this is a training of a cross-validation, whose first weights may have seen
            the centre that is held out: it is a source.

    Returns:
        The finished run folder.

    Raises:
        UserError: Bad data or settings, or a run folder in the way.
        TrainingDiverged: The loss is not finite; the last epoch's checkpoint stays.
        TrainingStopped: SIGTERM arrived; the step was finished and saved.
    """
    require(*packages_for(settings))
    run = RunFolder.of(runs, settings, holdout)
    with joined(device) as chosen:
        if on_first(lambda: run.is_done(settings, resume=resume, overwrite=overwrite)):
            return run

        def prepared(begins: bool) -> Prepared:
            return first_then_others(
                lambda: prepare(settings, holdout, root, chosen, begins=begins, inner=inner)
            )

        def leave_out(settings: SegmentationSettings, source: str) -> RunFolder:
            one = RunFolder.of(run.inner, settings, source)
            _check_inner(one, settings, root, source, chosen)
            with _stops_name(run, one):
                return train(
                    settings, holdout=source, root=root, runs=run.inner,
                    device=device, resume=True, command=command, inner=True,
                )  # fmt: skip

        if settings.selection == "lodo":
            on_first(lambda: inner_settings(settings, holdout))
        begins = overwrite or not run.checkpoints()
        ready = prepared(begins)  # refused here, before an older run is removed
        about = provenance(command, str(chosen)) | {"data": root and str(root.resolve())}
        with first_only(run.open(settings, resume=resume, overwrite=overwrite)):
            on_first(lambda: _check_as_it_was(run, begins=begins))
            kept_epoch = settings.train.epochs if settings.selection == "last" else None
            if settings.selection == "lodo":
                del ready  # inner trainings have their own
                kept_epoch = cross_validate(settings, holdout, leave_out)
                ready = prepared(begins)
            with first_only(run.log()):
                _train(run, settings, holdout, ready, about, kept_epoch)
    return run


def _check_as_it_was(run: RunFolder, *, begins: bool) -> None:
    """Raise UserError where the run was begun or removed while the data were read."""
    if begins == bool(run.checkpoints()):
        raise UserError(
            f"{run.path} must stay as it is while a training begins, its checkpoints were "
            f"{'written' if begins else 'removed'} meanwhile: give the command again"
        )


@contextmanager
def _stops_name(run: RunFolder, inner: RunFolder) -> Iterator[None]:
    """Let a stop within an inner run, or at its end, name the run that is to be continued."""
    try:
        with stop_on_sigterm() as stop:
            yield
        if any_of(stop.is_set()):
            raise once(TrainingStopped.of(inner.path, "at the end"))
    except TrainingStopped as error:
        done = f"{error.done} of the inner run {inner.path.name}"
        raise TrainingStopped.of(run.path, done) from error


def _check_inner(
    run: RunFolder,
    settings: SegmentationSettings,
    root: Path | None,
    holdout: str,
    device: torch.device,
) -> None:
    """Raise UserError where an inner run was finished with other data or circumstances."""
    if not on_first(lambda: run.is_done(settings, resume=True, overwrite=False)):
        return
    data = first_then_others(
        lambda: read_data(root, settings, holdout, selection=settings.selection)
    )
    numerics = Numerics(device, choose_precision(settings.precision, device), Normalisation())
    on_first(lambda: run.check_same(**_circumstances(data, numerics)))


def _circumstances(data: Data, numerics: Numerics) -> dict[str, Any]:
    """Return the keys of ``run.json`` that stay as they are at the beginning."""
    return {
        "fingerprint": data.fingerprint,
        "precision": numerics.precision,
        "processes": processes(),
    }


def _train(
    run: RunFolder,
    settings: SegmentationSettings,
    holdout: str,
    ready: Prepared,
    about: dict[str, Any],
    kept_epoch: int | None,
) -> None:
    """Fit the network and write the run, from the newest checkpoint in it."""
    network, data, numerics, doubts = ready
    for doubt in doubts:
        _log.warning(doubt)
    about |= {"doubts": doubts} if doubts else {}
    kept, card = _begin_or_resume(run, settings, holdout, data, numerics, about)
    numerics = replace(numerics, normalisation=card.normalisation)
    plan, maps, pinned = settings.train, settings.tvconv, numerics.pins_memory

    def batches(step: int) -> "DataLoader[dict[str, object]]":
        return make_loader(data, settings, first_step=step, pin_memory=pinned)

    steps = math.ceil(REFRESH_IMAGES / images_per_step(settings, len(data.fold.sources)))
    drawn: list[dict[str, object]] = []

    def inputs() -> Iterator[torch.Tensor]:
        drawn.extend(islice(batches(0), 0 if drawn else steps))
        for batch in drawn:
            images = numerics.prepare(batch, numerics.device, pinned)[0]
            yield from (images[part :: plan.micro_batches] for part in range(plan.micro_batches))

    weights = kept_weights(plan.average, network, plan=plan, batches=inputs)
    TrainingLoop(
        run,
        network,
        plan=plan,
        loss=LOSSES[plan.loss],
        optimizer=make_optimizer(
            network, plan.learning_rate,
            affinity_rate=maps.affinity_rate, affinity_decay=maps.affinity_decay,
        ),
        rate=drop_once(plan),
        numerics=numerics,
        make_loader=batches,
        validator=make_validator(
            weights.network, make_validation_loader(data, pin_memory=pinned),
            structures=settings.structures, numerics=numerics, kept_epoch=kept_epoch,
        ),
        card=card,
        chosen=data.selection.words,
        settings=settings,
        weights=weights,
    ).run_to_end(kept)  # fmt: skip


def _begin_or_resume(
    run: RunFolder,
    settings: SegmentationSettings,
    holdout: str,
    data: Data,
    numerics: Numerics,
    about: dict[str, Any],
) -> tuple[Kept | None, SegmentationCard]:
    """Return the checkpoint to continue from, if any, and the card of those to come."""
    about |= {"holdout": holdout, "seed": settings.seed}
    same = _circumstances(data, numerics)
    kept = on_first(lambda: take_up(run, SEGMENTATION, settings, data.fold.names(), about, **same))
    normalisation = numerics.normalisation
    if kept:
        normalisation = read_card(SegmentationCard, kept.content["card"], kept.path).normalisation
    card = SegmentationCard(
        settings=settings,
        holdout=holdout,
        fingerprint=data.fingerprint,
        epoch=0,
        chosen="last epoch",
        normalisation=normalisation,
    )
    return kept, card
