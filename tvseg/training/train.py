"""Training of one segmentation network, from settings to a finished run folder."""

import logging
from dataclasses import replace
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
from tvseg.runs.affinity import affinity_maps
from tvseg.runs.cards import SegmentationCard, read_card
from tvseg.runs.folder import RunFolder
from tvseg.runs.provenance import provenance
from tvseg.runs.segmentation import SEGMENTATION, network_of, normalisation_of, start_from
from tvseg.settings import SegmentationSettings
from tvseg.training.data import Data, images_per_step, make_loader, read_data
from tvseg.training.fit import Numerics, drop_once, make_optimizer, make_validator
from tvseg.training.loop import TrainingLoop
from tvseg.training.state import take_up

segmentation_loss = nn.functional.binary_cross_entropy_with_logits
"""Binary cross entropy on logits, over all structures."""

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
    chosen = choose_device(device)
    precision = choose_precision(settings.precision, chosen)
    torch.manual_seed(settings.seed)
    begins = overwrite or not run.checkpoints()
    network = network_of(settings, pretrained=begins and not settings.init)
    normalisation = normalisation_of(settings) if begins else Normalisation()
    numerics = Numerics(chosen, precision, normalisation)
    if settings.init and begins and (random := start_from(network, settings.init)):
        _log.info(
            "init=%s: %d tensors, all of ASPP branches, begin at random", settings.init, random
        )
    if settings.train.log_affinity and not affinity_maps(network):
        raise UserError(f"train.log_affinity needs TVConv layers; aspp={settings.aspp} has none")
    data = read_data(root, settings, holdout, selection=settings.selection)
    if images_per_step(settings, data.fold) // settings.train.micro_batches < 2:
        raise UserError(
            "a step, or each of its train.micro_batches, must hold at least 2 images: raise "
            "train.images_per_centre"
        )
    network.to(chosen, memory_format=torch.channels_last)
    try:
        with run.lock():
            run.check_free(settings, resume=resume, overwrite=overwrite)
            if overwrite:
                run.clear()
            remove_temporaries(run.path)
            about = provenance(command, str(chosen)) | {"data": root and str(root.resolve())}
            _train(run, settings, holdout, data, network, numerics, about)
    except Timeout as error:
        raise UserError(f"{run.path} is being written by another training") from error
    return run


def _train(
    run: RunFolder,
    settings: SegmentationSettings,
    holdout: str,
    data: Data,
    network: nn.Module,
    numerics: Numerics,
    about: dict[str, Any],
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
    plan = settings.train
    card = SegmentationCard(
        settings=settings,
        holdout=holdout,
        fingerprint=data.fingerprint,
        epoch=0,
        chosen="last epoch",
        normalisation=numerics.normalisation,
    )
    validation = DataLoader(
        ValidationSet(data.validation),
        batch_size=16,
        pin_memory=numerics.pins_memory,
        generator=torch.Generator(),
    )
    with run.log():
        TrainingLoop(
            run,
            network,
            plan=plan,
            loss=segmentation_loss,
            optimizer=make_optimizer(network, plan.learning_rate),
            rate=drop_once(plan),
            numerics=numerics,
            make_loader=lambda step: make_loader(
                data, settings, first_step=step, pin_memory=numerics.pins_memory
            ),
            validator=make_validator(
                network, validation, structures=settings.structures, numerics=numerics
            ),
            card=card,
            chosen=data.selection.words,
        ).run_to_end(kept)
