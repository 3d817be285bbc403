"""Training of the localizer that a run is given, on the run's source centres alone."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import IterationEvents
from scipy.optimize import minimize
from scipy.special import expit
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from tvseg.data.dataset import BalancedDraws, LoadedCases
from tvseg.data.geometry import Box
from tvseg.device import autocast, choose_device, choose_precision
from tvseg.errors import UserError
from tvseg.localizer.card import Calibration, LocalizerCard
from tvseg.localizer.composites import Composites, draw_retinas
from tvseg.localizer.drawn_fields import drawn_batches
from tvseg.localizer.network import LocalizerNetwork
from tvseg.localizer.sighting import STRIDE, Sighting, sight
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import ScheduleSettings, run_name
from tvseg.training import fit
from tvseg.training.data import read_data
from tvseg.training.distributed import check_alone
from tvseg.training.fit import Numerics

DRAWN_FRAMING = 2.0
"""Side of a region of interest over the disc's diameter, of networks trained on phantoms."""

_CALIBRATION_SEED = 2**16  # added to the training's


@dataclass(frozen=True)
class LocalizerPlan:
    """How long and on what a localizer trains.

    Attributes:
        steps: Steps of the optimiser.
        images_per_centre: Composed photographs of each source centre in a step.
        retinas: Drawn retinas that regions are set into; a quarter as many for the calibration.
        calibration_steps: Steps' worth of photographs that the calibration is fitted on.
        image_size: Side in px at which the network sees a photograph.
        learning_rate: Of Adam, dropped to a fifth for the last quarter.
        drawn_per_step: Photographs in a step where all are drawn.
        workers: Processes that draw them.
    """

    steps: int = 150
    images_per_centre: int = 4
    retinas: int = 64
    calibration_steps: int = 24
    image_size: int = 192
    learning_rate: float = 2e-3
    drawn_per_step: int = 12
    workers: int = 0


def train_localizer(
    run: RunFolder,
    *,
    root: Path | None,
    seed: int = 0,
    device: str | None = None,
    plan: LocalizerPlan = LocalizerPlan(),
) -> LocalizerCard:
    """Train a localizer and put it into the run that it serves.

    It sees photographs composed of the source centres' regions of interest and drawn retinas. Its
    encoder is the run's own and stays as it is: it has learnt what discs look like, and cannot
    learn what tells composed photographs from real ones. The confidence is calibrated on the
    sources' test splits. For a run that was trained on phantoms alone, photographs are drawn as a
    whole, for the calibration too.

    Args:
        run: A run with a selected checkpoint.
        root: The data root that the run was trained on; not read where it was phantoms alone.
        seed: Of draws, composition and initial weights.
        device: Name of a torch device; ``None`` chooses.
        plan: How long and on what.

    Returns:
        The card of the localizer.

    Raises:
        ValueError: No such run, or other data than it was trained on.
    """
    check_alone("tvseg train-localizer")
    segmenter, model = load_network(run.best)
    tempfile.TemporaryFile(dir=run.path).close()  # a folder that cannot be written fails now
    chosen = choose_device(device)
    precision = choose_precision(model.settings.precision, chosen)
    numerics = Numerics(chosen, precision, model.normalisation)
    batches = (
        _drawn(seed, plan)
        if model.settings.phantoms == 1
        else _composed(root, run, model, seed, plan)
    )
    torch.manual_seed(seed)
    network = LocalizerNetwork(model.settings.encoder)
    network.encoder.load_state_dict(segmenter.encoder.state_dict())
    network.to(chosen).to(memory_format=torch.channels_last)
    _fit(network, batches.train, numerics=numerics, plan=plan)
    card = LocalizerCard(
        run=run_name(model.settings, model.holdout),
        holdout=model.holdout,
        fingerprint=model.fingerprint,
        framing=batches.framing,
        image_size=plan.image_size,
        encoder=model.settings.encoder,
        calibration=_calibrate(network, batches.calibration, numerics=numerics),
        normalisation=numerics.normalisation,
        seed=seed,
    )
    save_weights(run.localizer, network, card)
    return card


@dataclass(frozen=True)
class _Batches:
    """What a localizer is fitted and calibrated on, and the framing of regions of interest."""

    train: "DataLoader[dict[str, object]]"
    calibration: "DataLoader[dict[str, object]]"
    framing: float


def _drawn(seed: int, plan: LocalizerPlan) -> _Batches:
    train, calibration = (
        drawn_batches(
            seed=seed + off,
            image_size=plan.image_size,
            steps=steps,
            size=plan.drawn_per_step,
            workers=plan.workers,
        )
        for off, steps in ((0, plan.steps), (_CALIBRATION_SEED, plan.calibration_steps))
    )
    return _Batches(train, calibration, DRAWN_FRAMING)


def _composed(
    root: Path | None, run: RunFolder, model: SegmentationCard, seed: int, plan: LocalizerPlan
) -> _Batches:
    if root is None:
        raise UserError(f"{run.path} was trained on photographs; name their root with --data")
    data = read_data(root, model.settings, model.holdout, selection="sources")
    if data.fingerprint != model.fingerprint:
        raise UserError(
            f"{root} must hold the data that {run.path} was trained on: its fingerprint is "
            f"{data.fingerprint}, the run's is {model.fingerprint}"
        )
    other = seed + _CALIBRATION_SEED
    retinas = draw_retinas(plan.retinas, seed=seed)
    few = draw_retinas(max(4, plan.retinas // 4), seed=other)
    composed = Composites(data.train, retinas, image_size=plan.image_size)
    unseen = Composites(data.validation, few, image_size=plan.image_size)
    return _Batches(
        _draws(composed, seed=seed, steps=plan.steps, plan=plan),
        _draws(unseen, seed=other, steps=plan.calibration_steps, plan=plan),
        framing_of(data.train),
    )


def framing_of(loaded: LoadedCases) -> float:
    """Side of a region of interest over the longer side of its disc's box.

    The median over cases that count as much for each centre.

    Raises:
        ValueError: No case has a disc.
    """
    framings, centres = [], []
    for case, masks in zip(loaded.cases, loaded.masks, strict=True):
        box = Box.of(masks.any(axis=-1))
        if not box.is_empty:
            framings.append(len(masks) / box.side)
            centres.append(case.centre.letter)
    if not framings:
        raise UserError("the framing needs a disc in at least one mask; all are empty")
    order = np.argsort(framings)
    weights = np.array([1 / centres.count(letter) for letter in centres])[order]
    half = np.searchsorted(np.cumsum(weights), weights.sum() / 2)
    return round(float(np.array(framings)[order][half]), 3)


def share_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return binary cross entropy on logits (B, 1, S / 4, S / 4) against each cell's disc share.

    Args:
        logits: Of :class:`LocalizerNetwork`.
        labels: The disc, float32 (B, 1, S, S).
    """
    return F.binary_cross_entropy_with_logits(logits, F.avg_pool2d(labels, STRIDE))


def _fit(
    network: nn.Module, batches: "DataLoader[fit.Batch]", *, numerics: Numerics, plan: LocalizerPlan
) -> None:
    trainer = fit.make_trainer(
        network,
        batches,
        loss=share_loss,
        optimizer=fit.make_optimizer(network, plan.learning_rate),
        rate=fit.drop_once(ScheduleSettings(epochs=1, steps_per_epoch=plan.steps)),
        numerics=numerics,
        epochs=1,
        steps_per_epoch=plan.steps,
    )
    trainer.add_event_handler(IterationEvents.LOSS_COMPLETED, fit.check_loss)
    with tqdm(total=plan.steps, desc="localizer") as bar:
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: bar.update())
        trainer.run()
    network.eval()


def _draws(
    composites: Composites, *, seed: int, steps: int, plan: LocalizerPlan
) -> "DataLoader[dict[str, object]]":
    draws = BalancedDraws(
        [case.centre.letter for case in composites.loaded.cases],
        per_centre=plan.images_per_centre,
        steps=steps,
        seed=seed,
    )
    return DataLoader(composites, batch_sampler=draws, generator=torch.Generator())


@torch.inference_mode()
def _calibrate(
    network: nn.Module, batches: "DataLoader[dict[str, object]]", *, numerics: Numerics
) -> Calibration:
    """Fit the confidence on photographs that the network was not fitted on."""
    scores: list[float] = []
    found: list[bool] = []
    for batch in tqdm(batches, "calibrating", leave=False):
        images, _ = numerics.prepare(batch, numerics.device, False)
        with autocast(numerics.device, numerics.autocast):
            logits = network(images)
        for sighting, label in zip(
            sight(logits.float().cpu().numpy()), batch["label"], strict=True
        ):
            scores.append(sighting.score)
            found.append(_is_on(sighting, label[0].numpy()))
    return fit_calibration(scores, found)


def _is_on(sighting: Sighting, disc: np.ndarray) -> bool:
    """Whether a sighting's centre is on the disc."""
    return bool(disc[round(sighting.row), round(sighting.col)])


def fit_calibration(scores: Sequence[float], found: Sequence[bool]) -> Calibration:
    """Fit the probability of a disc by logistic regression on the score.

    The targets are drawn in a little from 0 and 1, which keeps the slope finite when the scores
    part perfectly.

    Args:
        scores: Of sightings.
        found: Whether each was of a disc.

    Raises:
        ValueError: Only one of both kinds.

    Source: J. Platt, Probabilistic outputs for support vector machines, 1999, section 2.2.
    """
    score, truth = np.asarray(scores, float), np.asarray(found, bool)
    yes, no = int(truth.sum()), int((~truth).sum())
    if not yes or not no:
        raise UserError(
            f"a calibration needs photographs with and without a disc, got {yes} and {no}; "
            "train the localizer for more steps"
        )
    target = np.where(truth, (yes + 1) / (yes + 2), 1 / (no + 2))

    def loss(parameters: np.ndarray) -> float:
        margin = parameters[0] * score + parameters[1]
        return float(np.mean(np.logaddexp(0, margin) - target * margin))

    def slope(parameters: np.ndarray) -> np.ndarray:
        off = expit(parameters[0] * score + parameters[1]) - target
        return np.array((np.mean(off * score), np.mean(off)))

    best = minimize(loss, np.array((1.0, 0.0)), jac=slope, method="BFGS").x
    return Calibration(slope=float(best[0]), offset=float(best[1]))
