"""Training of one face verification network, from settings to a finished run folder."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from tvseg.data.normalisation import Normalisation
from tvseg.device import choose_precision
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.files import write_text
from tvseg.runs.affinity import affinity_maps
from tvseg.runs.folder import RunFolder
from tvseg.runs.provenance import provenance
from tvseg.training.curves import packages_for
from tvseg.training.distributed import (
    OwnShare,
    first_only,
    first_then_others,
    joined,
    on_first,
    processes,
)
from tvseg.training.fit import Numerics
from tvseg.training.loop import TrainingLoop
from tvseg.training.state import take_up
from tvseg.verification.data.pictures import Faces, PairSet, pair_files, read_faces, read_pair_set
from tvseg.verification.distances import VALIDATION_FILE, distances_of
from tvseg.verification.embedder import FaceEmbedder
from tvseg.verification.network import VERIFICATION, FaceCard, FaceNetwork
from tvseg.verification.settings import FaceSchedule, FaceSettings
from tvseg.verification.training.affinity_start import picture_statistics, start_affinity
from tvseg.verification.training.batches import EpochBatches, FaceSet
from tvseg.verification.training.pair_validator import make_pair_validator

CHOSEN = "selected on validation pairs"


def train_faces(
    settings: FaceSettings,
    *,
    root: Path,
    runs: Path,
    device: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
) -> RunFolder:
    """Train one network to embed faces.

    Args:
        settings: What to train.
        root: Data root, see :mod:`tvseg.verification.data.pictures`.
        runs: Folder that gets the run folder.
        device: Name of a torch device; ``None`` chooses.
        resume: Continue an unfinished training of the same settings, bit for bit.
        overwrite: Replace a run of the name, whatever it holds.
        command: The command line, for the record.

    Returns:
        The finished run folder.

    Raises:
        UserError: Bad data or settings, a validation set that shares people with the training
            set, or a run folder in the way.
        TrainingDiverged: The loss is not finite; the last epoch's checkpoint stays.
    """
    require(*packages_for(settings))
    run = RunFolder(runs / f"{settings.display_name}-seed{settings.seed}", FaceSettings)
    how = {"resume": resume, "overwrite": overwrite}
    with joined(device) as chosen:
        if on_first(lambda: run.is_done(settings, **how) and (run.path / VALIDATION_FILE).exists()):
            return run
        network, faces, validation = first_then_others(lambda: _prepare(settings, root, chosen))
        precision = choose_precision(settings.precision, chosen)
        numerics = Numerics(chosen, precision, Normalisation())
        about = provenance(command, str(chosen)) | {"data": str(root.resolve())}
        with first_only(run.open(settings, **how)), first_only(run.log()):
            _train(run, settings, faces, validation, network, numerics, about)
            on_first(lambda: _keep_distances(run, validation, device))
    return run


def _prepare(
    settings: FaceSettings, root: Path, device: torch.device
) -> tuple[FaceNetwork, Faces, PairSet]:
    """Build the network, and read and check the pictures."""
    faces = read_faces(root, side_px=settings.image_size)
    validation = _validation(root, settings, faces)
    batch, parts = settings.train.batch, settings.train.micro_batches * processes()
    if len(faces.names) < batch:
        raise UserError(
            f"{root} has {len(faces.names)} training pictures, fewer than one batch: lower "
            f"train.batch ({batch})"
        )
    if processes() > 1 and batch % parts:
        raise UserError(
            f"{processes()} processes x train.micro_batches={settings.train.micro_batches} must "
            f"divide train.batch ({batch})"
        )
    torch.manual_seed(settings.seed)
    network = _network_for(settings, faces)
    network.to(device).to(memory_format=torch.channels_last)
    return network, faces, validation


def _keep_distances(run: RunFolder, validation: PairSet, device: str | None) -> None:
    """Write the distances of the validation pairs, which thresholds are chosen on."""
    distances = distances_of(validation, FaceEmbedder(run.path, device=device)(validation.pixels))
    write_text(run.path / VALIDATION_FILE, distances.to_csv(index=False))


def _network_for(settings: FaceSettings, faces: Faces) -> FaceNetwork:
    """Build the network, its affinity maps as the settings say."""
    network = FaceNetwork(settings, len(faces.people))
    if settings.train.log_affinity and not affinity_maps(network):
        raise UserError(
            f"train.log_affinity needs TVConv layers; operator={settings.operator} has none"
        )
    if settings.generator.start == "pictures":
        start_affinity(network, picture_statistics(faces.pixels))
    return network


def _validation(root: Path, settings: FaceSettings, faces: Faces) -> PairSet:
    """Read the validation pairs; refuse them when people or pictures are in the training set."""
    files = pair_files(root)
    if settings.validation not in files:
        raise UserError(
            f"validation must name a set of pairs below {root} "
            f"({', '.join(files) or 'there is none'}), got {settings.validation!r}"
        )
    pairs = read_pair_set(files[settings.validation], side_px=settings.image_size)
    trained = {hashlib.sha256(picture.tobytes()).digest() for picture in faces.pixels}
    both = [
        name for name, picture in zip(pairs.names, pairs.pixels, strict=True)
        if hashlib.sha256(picture.tobytes()).digest() in trained
    ]  # fmt: skip
    people = {Path(name).parent.name for name in pairs.names} - {""}
    shared = sorted(people & set(faces.people))
    if both or shared:
        first = both[0] if both else shared[0]
        raise UserError(
            f"{pairs.name} must share neither people nor pictures with the training set: "
            f"{len(both)} pictures and {len(shared)} people are in both, first {first}; see "
            f"'tvseg faces check {root}'"
        )
    return pairs


def _train(
    run: RunFolder,
    settings: FaceSettings,
    faces: Faces,
    validation: PairSet,
    network: FaceNetwork,
    numerics: Numerics,
    about: dict[str, Any],
) -> None:
    """Fit the network and write the run, from the newest checkpoint in it."""
    steps = len(faces.names) // settings.train.batch
    plan = settings.train.model_copy(update={"steps_per_epoch": steps})
    fingerprint = _fingerprint(faces)
    splits = {"train": list(faces.names), "validation": list(validation.names)}
    about |= {"holdout": "none", "seed": settings.seed}
    same = {"fingerprint": fingerprint, "precision": numerics.precision, "processes": processes()}
    if on_first(run.is_trained):  # only the distances of the validation pairs are missing
        on_first(lambda: run.continue_with(about, **same))
        return
    kept = on_first(lambda: take_up(run, VERIFICATION, settings, splits, about, **same))
    card = FaceCard(
        settings=settings,
        people=len(faces.people),
        fingerprint=fingerprint,
        epoch=0,
        chosen="last epoch",
        normalisation=numerics.normalisation,
    )
    TrainingLoop(
        run,
        network,
        plan=plan,
        loss=network.loss,
        numerics=numerics,
        optimizer=torch.optim.SGD(
            network.parameters(), plan.learning_rate, momentum=plan.momentum,
            weight_decay=plan.weight_decay,
        ),
        rate=lambda step: _rate(plan, step),
        make_loader=lambda step: _make_loader(faces, settings, plan, numerics, first_step=step),
        validator=make_pair_validator(network, validation, numerics=numerics),
        card=card,
        chosen=CHOSEN,
        settings=settings,
        before_step=lambda step: _warm_up(network, settings.margin, plan, step),
    ).run_to_end(kept)  # fmt: skip


def _rate(plan: FaceSchedule, step: int) -> float:
    """Return the learning rate of a step over that of the first one."""
    return plan.drop_factor ** sum(step >= plan.steps_per_epoch * e for e in plan.drop_epochs)


def _warm_up(network: FaceNetwork, margin: float, plan: FaceSchedule, step: int) -> None:
    """Let the margin grow from 0 over the first epochs: few people are not learnt without it."""
    steps = plan.margin_warmup * plan.steps_per_epoch
    network.margin_loss.margin = margin * min(1.0, step / steps if steps else 1.0)


def _make_loader(
    faces: Faces,
    settings: FaceSettings,
    plan: FaceSchedule,
    numerics: Numerics,
    *,
    first_step: int,
) -> "DataLoader[dict[str, Any]]":
    batches = EpochBatches(
        len(faces.names), batch=plan.batch, epochs=plan.epochs, seed=settings.seed,
        first_step=first_step,
    )  # fmt: skip
    return DataLoader(
        FaceSet(faces, seed=settings.seed, flip=settings.flip, jitter=settings.jitter),
        batch_sampler=OwnShare(batches),
        num_workers=plan.workers,
        pin_memory=numerics.pins_memory,
        generator=torch.Generator(),
    )


def _fingerprint(faces: Faces) -> str:
    """Return a digest of the training pictures and their people."""
    digest = hashlib.sha256()
    for name, pixels, person in zip(faces.names, faces.pixels, faces.identities, strict=True):
        digest.update(f"{name}\t{person}\n".encode())
        digest.update(pixels.tobytes())
    return digest.hexdigest()[:16]
