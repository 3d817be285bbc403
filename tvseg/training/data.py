"""What a training reads: every centre's cases, decoded, checked and split."""

import signal
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from tvseg.data.augment import Augmentation, Mixture
from tvseg.data.cases import Case, find_cases
from tvseg.data.centres import Centre, centres_of, output_encoding
from tvseg.data.dataset import (
    BalancedDraws,
    LoadedCases,
    TrainingSet,
    ValidationSet,
    drawn_example,
    load_cases,
)
from tvseg.data.fingerprint import fingerprint
from tvseg.data.folds import Fold, check_leaks, make_fold
from tvseg.errors import UserError
from tvseg.settings import SegmentationSettings
from tvseg.training.distributed import OwnShare, own_places, processes
from tvseg.training.selection import CHOSEN, Selection, make_selection

SELECTION_PHANTOMS = 96
"""Phantoms that the epoch of a training without photographs is selected on."""

SELECTION_SEED = 2**31
"""Added to a training's seed for them."""


@dataclass(frozen=True)
class Data:
    """What a training holds in memory: its fold, decoded images, selection and fingerprint."""

    fold: Fold
    train: LoadedCases
    selection: Selection
    validation: LoadedCases
    fingerprint: str


def read_data(
    root: Path | None, settings: SegmentationSettings, holdout: str, *, selection: str
) -> Data:
    """Find, decode and check every centre's cases, and keep what a training reads.

    The held-out centre is decoded too, for the leak check and the fingerprint, but nothing of it is
    kept, unless the epoch is selected on it.

    Args:
        root: Data root; ``None`` where all is drawn.
        settings: Of the training.
        holdout: Centre to leave out, or ``none``.
        selection: A value of the key ``selection``.

    Raises:
        UserError: Missing, damaged or leaking data.
    """
    if settings.phantoms and not set(settings.structures) <= {"cup", "disc"}:
        raise UserError("phantoms show the structures cup and disc alone; set phantoms=0")
    if root is None:
        return _drawn_data(settings, holdout, selection)
    fold = make_fold(
        {letter: find_cases(root, centre) for letter, centre in centres_of(settings).items()},
        holdout,
    )
    cases = [*fold.train, *fold.validation, *fold.target]
    loaded, identities = load_cases(cases, image_size=settings.image_size)
    check_leaks(fold, identities)
    selected = make_selection(selection, fold)
    return Data(
        fold=fold,
        train=loaded.subset(fold.train),
        selection=selected,
        validation=loaded.subset(selected.cases),
        fingerprint=fingerprint(identities),
    )


def phantoms_per_step(settings: SegmentationSettings, sources: int) -> int:
    """Return how many phantoms a step holds beside the photographs of so many source centres."""
    plan, share = settings.train, settings.phantoms
    if share == 1:
        return plan.images_per_centre
    return round(sources * plan.images_per_centre * share / (1 - share))


def images_per_step(settings: SegmentationSettings, sources: int) -> int:
    """Return how many images a step holds, phantoms included."""
    photographs = sources * settings.train.images_per_centre
    return photographs + phantoms_per_step(settings, sources)


def check_shares(settings: SegmentationSettings, data: Data) -> None:
    """Raise UserError unless steps hold what settings say, those of inner trainings included."""
    if settings.phantoms == 1 and data.train.cases:
        raise UserError(
            "phantoms=1 trains on drawn photographs alone: give no data root, or lower phantoms"
        )
    sources = len(data.fold.sources)
    check_step(settings, sources)
    if settings.selection == "lodo":
        check_step(settings, sources - 1)
    if len(data.validation.cases) < processes():
        raise UserError(
            f"each process must have an image to select the epoch on, got "
            f"{len(data.validation.cases)} for {processes()}: start fewer processes"
        )


def check_step(settings: SegmentationSettings, sources: int) -> None:
    """Raise UserError unless a step on so many source centres can be computed in its parts."""
    plan, images = settings.train, images_per_step(settings, sources)
    if settings.mix != "none" and sources < 2:
        raise UserError(
            "mix needs two source centres or more, three with selection=lodo; set mix=none"
        )
    if settings.phantoms and not phantoms_per_step(settings, sources):
        raise UserError(
            f"phantoms={settings.phantoms:g} is less than one phantom beside the photographs of a "
            f"step ({images}): raise phantoms or train.images_per_centre, or set phantoms=0"
        )
    parts = plan.micro_batches * processes()
    if images // parts < 2:
        raise UserError(
            "a step, or each of its train.micro_batches in each process, must hold at least 2 "
            "images: raise train.images_per_centre"
        )
    if processes() > 1 and (plan.images_per_centre % parts or images % parts):
        raise UserError(
            f"{processes()} processes x train.micro_batches={plan.micro_batches} must divide the "
            f"{plan.images_per_centre} images of each centre and all {images} of a step: change "
            "train.images_per_centre, or torchrun's --nproc-per-node"
        )


def make_loader(
    data: Data, settings: SegmentationSettings, *, first_step: int, pin_memory: bool = False
) -> "DataLoader[dict[str, object]]":
    """Return a training's batches from the step ``first_step``, counted from 0, to its end.

    Of each, this process's share. The source centres have as many images each in a batch; phantoms,
    if any, come last.
    """
    plan = settings.train
    if plan.workers:
        cv2.setNumThreads(1)  # a forked process waits forever for the threads of OpenCV's pool
    draws = BalancedDraws(
        [case.centre.letter for case in data.train.cases],
        per_centre=plan.images_per_centre,
        steps=plan.epochs * plan.steps_per_epoch,
        seed=settings.seed,
        first_step=first_step,
        phantoms=phantoms_per_step(settings, len(data.fold.sources)),
    )
    return DataLoader(
        TrainingSet(
            data.train,
            Augmentation(settings.augment),
            mixture=Mixture(settings.mix),
            seed=settings.seed,
            structures=settings.structures,
        ),
        batch_sampler=OwnShare(draws),
        num_workers=plan.workers,
        worker_init_fn=_outlive_sigterm,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else it draws from dropout's, and a resumed run differs
    )


def make_validation_loader(data: Data, *, pin_memory: bool) -> "DataLoader[dict[str, object]]":
    """Return this process's share of the images that the epoch is selected on, in batches."""
    images = ValidationSet(data.validation)
    return DataLoader(
        Subset(images, own_places(len(images))),
        batch_size=16,
        pin_memory=pin_memory,
        generator=torch.Generator(),
    )


def _outlive_sigterm(worker: int) -> None:
    """Let a worker deliver the step that is finished when the whole process group is stopped."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _drawn_data(settings: SegmentationSettings, holdout: str, selection: str) -> Data:
    """Return no photographs to train on, and phantoms of another seed to select on."""
    if holdout != "none" or settings.phantoms < 1:
        raise UserError("training without photographs needs phantoms=1 and --holdout none")
    words = {"sources": "selected on phantoms", "last": CHOSEN["last"]}.get(selection)
    if words is None:
        raise UserError(
            f"selection must be sources or last where there are no centres, got {selection}"
        )
    side = settings.image_size
    names = settings.structures
    centre = Centre("phantom", "Phantoms", "", output_encoding(settings))
    cases = tuple(
        Case(centre, "test", f"{index:04d}", Path(), Path()) for index in range(SELECTION_PHANTOMS)
    )
    drawn = [
        drawn_example(SELECTION_SEED + settings.seed, index, side_px=side, names=names)
        for index in range(SELECTION_PHANTOMS)
    ]
    images, masks = (np.stack(part) for part in zip(*drawn, strict=True))
    fold = Fold(holdout, train=(), validation=cases, target=())
    return Data(
        fold=fold,
        train=LoadedCases((), images[:0], masks[:0]),
        selection=Selection(cases, words),
        validation=LoadedCases(cases, images, masks),
        fingerprint=f"phantoms-{settings.seed}",
    )
