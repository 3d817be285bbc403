"""Leave-one-domain-out cross-validation among the source centres, which chooses an epoch.

Each source is held out in turn from a training on the other sources, whose Dice on that source's
test split is kept for every epoch. The epoch whose mean over the sources is the highest is the one
that the training on all sources keeps. The target centre is not among the centres of these inner
trainings, so nothing of it can be read.

Source: Gulrajani and Lopez-Paz, In Search of Lost Domain Generalization, ICLR 2021, section 3.2.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np

from tvseg.errors import UserError
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings, held_out

Train = Callable[[SegmentationSettings, str], RunFolder]
"""Settings and the centre to hold out -> a finished run."""

_log = logging.getLogger("tvseg")


def cross_validate(settings: SegmentationSettings, holdout: str, train: Train) -> int:
    """Train once for each source centre, held out from the others, and choose the epoch.

    Args:
        settings: Of the training on all sources.
        holdout: Its target, or ``none``.
        train: Trains on what it is given, continuing what is unfinished.

    Returns:
        The epoch, counted from 1.

    Raises:
        UserError: Fewer than two sources, or an inner training that fails.
    """
    inner = inner_settings(settings, holdout)
    runs = []
    for source in inner.centres:
        _log.info("selection=lodo: training without the source %s", source)
        runs.append(train(inner, source))
    epoch = best_epoch(runs)
    _log.info("selection=lodo: epoch %d of %d", epoch, settings.train.epochs)
    return epoch


def inner_settings(settings: SegmentationSettings, holdout: str) -> SegmentationSettings:
    """Return the settings of trainings that know the source centres alone.

    Raises:
        UserError: Fewer than two sources.
    """
    sources = {k: v for k, v in settings.centres.items() if k not in held_out(holdout)}
    if len(sources) < 2:
        raise UserError(
            f"selection=lodo needs two source centres or more, got {', '.join(sources)}"
        )
    return settings.model_copy(
        update={
            "centres": sources,
            "selection": "target",  # of an inner training: the source that it holds out
            "train": settings.train.model_copy(update={"log_affinity": False}),
        }
    )


def best_epoch(runs: Sequence[RunFolder]) -> int:
    """Return the epoch, from 1, of the highest mean Dice over runs; the first of equal ones.

    Raises:
        UserError: A run has lost rows of its ``metrics.csv``.
    """
    scores = []
    for run in runs:
        scores.append([float(row["dice"]) for row in run.read_metrics()])
        if len(scores[-1]) != run.settings().train.epochs:
            raise UserError(f"{run.metrics} must have a row for each epoch; remove {run.path}")
    return int(np.mean(scores, axis=0).argmax()) + 1
