"""Training of one segmentation network, from settings to a finished run folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from torch import nn
from torch.utils.data import DataLoader

from tvseg.data.dataset import ValidationSet
from tvseg.data.normalisation import Normalisation
from tvseg.device import choose_device, choose_precision
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.files import remove_temporaries
from tvseg.models.mix_style import add_mix_style
from tvseg.runs.affinity import affinity_maps
from tvseg.runs.cards import SegmentationCard, read_card
from tvseg.runs.folder import RunFolder
from tvseg.runs.provenance import provenance
from tvseg.runs.segmentation import SEGMENTATION, network_of, normalisation_of, start_from
from tvseg.settings import SegmentationSettings
from tvseg.training.affinity_start import start_affinity
from tvseg.training.averaging import kept_weights
from tvseg.training.data import Data, images_per_step, make_loader, read_data
from tvseg.training.fit import Numerics, drop_once, make_optimizer, make_validator
from tvseg.training.lodo import cross_validate
from tvseg.training.loop import TrainingLoop
from tvseg.training.losses import LOSSES
from tvseg.training.state import take_up

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
) -> RunFolder:
    """Train one network on all centres but one.

    Args:
        settings: What to train.
        holdout: Letter of the centre to hold out, or ``none``.
        root: Data root, one sub-folder a centre; ``None`` where all is drawn.
        runs: Folder that gets the run folder.
        device: Name of a torch device; ``None`` chooses.
        resume: Continue an unfinished training of the same settings, bit for bit.
        overwrite: Replace a run of the name, whatever it holds.
        command: The command line, for the record.

    Returns:
        The finished run folder.

    Raises:
        UserError: Bad data or settings, or a run folder in the way.
        TrainingDiverged: The loss is not finite; the last epoch's checkpoint stays.
        TrainingStopped: SIGTERM arrived; the step was finished and saved.
    """
    require("tensorboard")
    run = RunFolder.of(runs, settings, holdout)
    run.check_free(settings, resume=resume, overwrite=overwrite)
    if resume and not overwrite and (run.path / "run.json").exists() and run.is_finished():
        return run
    kept_epoch = settings.train.epochs if settings.selection == "last" else None
    if settings.selection == "lodo":
        if overwrite:
            with _locked(run):
                run.clear()
            overwrite = False  # what is written from here on is kept

        def inner(settings: SegmentationSettings, source: str) -> RunFolder:
            return train(
                settings, holdout=source, root=root, runs=run.inner,
                device=device, resume=True, command=command,
            )  # fmt: skip

        kept_epoch = cross_validate(settings, holdout, inner)
    _train_run(
        run, settings, holdout, root,
        device=device, resume=resume, overwrite=overwrite, command=command, kept_epoch=kept_epoch,
    )  # fmt: skip
    return run


@contextmanager
def _locked(run: RunFolder) -> Iterator[None]:
    try:
        with run.lock():
            yield
    except Timeout as error:
        raise UserError(f"{run.path} is being written by another training") from error


def _train_run(
    run: RunFolder,
    settings: SegmentationSettings,
    holdout: str,
    root: Path | None,
    *,
    device: str | None,
    resume: bool,
    overwrite: bool,
    command: str,
    kept_epoch: int | None,
) -> None:
    """Build the network, read the data, and train in the locked folder."""
    chosen = choose_device(device)
    precision = choose_precision(settings.precision, chosen)
    torch.manual_seed(settings.seed)
    begins = overwrite or not run.checkpoints()
    network = network_of(settings, pretrained=begins and not settings.init)
    normalisation = normalisation_of(settings) if begins else Normalisation()
    numerics = Numerics(chosen, precision, normalisation)
    if settings.mixstyle:
        add_mix_style(network.encoder, settings.mixstyle)
    if settings.train.log_affinity and not affinity_maps(network):
        raise UserError(f"train.log_affinity needs TVConv layers; aspp={settings.aspp} has none")
    data = read_data(root, settings, holdout, selection=settings.selection)
    if images_per_step(settings, data.fold) // settings.train.micro_batches < 2:
        raise UserError(
            "a step, or each of its train.micro_batches, must hold at least 2 images: raise "
            "train.images_per_centre"
        )
    if begins:
        _first_values(network, settings, data)
    network.to(chosen, memory_format=torch.channels_last)
    with _locked(run):
        run.check_free(settings, resume=resume, overwrite=overwrite)
        if overwrite:
            run.clear()
        remove_temporaries(run.path)
        about = provenance(command, str(chosen)) | {"data": root and str(root.resolve())}
        _train(run, settings, holdout, data, network, numerics, about, kept_epoch)


def _first_values(network: nn.Module, settings: SegmentationSettings, data: Data) -> None:
    """Set the affinity maps where they do not begin at 1, then load what ``init`` names."""
    start, noise = settings.tvconv.affinity_start, settings.tvconv.affinity_noise
    if start != "ones" or noise:
        start_affinity(network, start, noise=noise, seed=settings.seed, loaded=data.train)
    if settings.init and (random := start_from(network, settings.init)):
        _log.info(
            "init=%s: %d tensors, all of ASPP branches, begin at random", settings.init, random
        )


def _train(
    run: RunFolder,
    settings: SegmentationSettings,
    holdout: str,
    data: Data,
    network: nn.Module,
    numerics: Numerics,
    about: dict[str, Any],
    kept_epoch: int | None,
) -> None:
    """Fit the network and write the run, from the newest checkpoint in it."""
    same = {"fingerprint": data.fingerprint, "precision": numerics.precision}
    kept = take_up(run, SEGMENTATION, **same)
    if kept:
        before = read_card(SegmentationCard, kept.content["card"], kept.path)
        numerics = replace(numerics, normalisation=before.normalisation)
    else:
        about |= {"holdout": holdout, "seed": settings.seed}
        run.begin(settings, data.fold.names(), **about, **same)
    card = SegmentationCard(
        settings=settings,
        holdout=holdout,
        fingerprint=data.fingerprint,
        epoch=0,
        chosen="last epoch",
        normalisation=numerics.normalisation,
    )
    with run.log():
        _make_loop(run, data, network, numerics, card, kept_epoch).run_to_end(kept)


def _make_loop(
    run: RunFolder,
    data: Data,
    network: nn.Module,
    numerics: Numerics,
    card: SegmentationCard,
    kept_epoch: int | None,
) -> TrainingLoop:
    settings = card.settings
    plan, maps = settings.train, settings.tvconv

    def batches(step: int) -> "DataLoader[dict[str, object]]":
        return make_loader(data, settings, first_step=step, pin_memory=numerics.pins_memory)

    def inputs() -> Iterator[torch.Tensor]:
        for batch in islice(batches(0), plan.steps_per_epoch):
            yield numerics.prepare(batch, numerics.device, numerics.pins_memory)[0]

    weights = kept_weights(plan.average, network, plan=plan, batches=inputs)
    validation = DataLoader(
        ValidationSet(data.validation),
        batch_size=16,
        pin_memory=numerics.pins_memory,
        generator=torch.Generator(),
    )
    return TrainingLoop(
        run,
        network,
        plan=plan,
        loss=LOSSES[plan.loss],
        optimizer=make_optimizer(
            network,
            plan.learning_rate,
            affinity_rate=maps.affinity_rate,
            affinity_decay=maps.affinity_decay,
        ),
        rate=drop_once(plan),
        numerics=numerics,
        make_loader=batches,
        validator=make_validator(
            weights.network,
            validation,
            structures=settings.structures,
            numerics=numerics,
            kept_epoch=kept_epoch,
        ),
        card=card,
        chosen=data.selection.words,
        weights=weights,
    )
