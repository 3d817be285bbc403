"""From a user's choices to the pipeline that is applied, and what is written down of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import tvseg
from tvseg.inference.ensemble import Ensemble
from tvseg.inference.pipeline import Pipeline
from tvseg.inference.predictor import Predictor, find_checkpoint
from tvseg.inference.regions import Locator, fixed_window, parse_window, whole_pictures
from tvseg.localizer.locate import Localizer
from tvseg.runs.checkpoint import Card
from tvseg.runs.folder import RunFolder


@dataclass(frozen=True)
class Deployment:
    """A pipeline and what it is made of.

    Attributes:
        pipeline: To apply to photographs.
        cards: Of the models, in order.
        localizer: The run whose localiser finds the disc, ``None`` where none does.
        about: What decides its output, as ``run.json`` keeps it.
    """

    pipeline: Pipeline
    cards: tuple[Card, ...]
    localizer: Path | None
    about: dict[str, Any]


def deploy(
    models: Sequence[Path],
    *,
    device: torch.device,
    checkpoint: str = "best",
    roi: str = "auto",
    mirror: bool = False,
) -> Deployment:
    """Load models, and the localiser of the first run that has one.

    Args:
        models: Run folders or checkpoint files; of several, probabilities are averaged.
        device: Where to compute.
        checkpoint: ``best`` or ``last`` of run folders.
        roi: ``auto``: the localiser, or every picture is a region of interest where no run has
            one; ``none``: every picture is one; ``ROW,COL,SIZE``: the window to look at.
        mirror: Whether models look at mirror images, too.

    Raises:
        ValueError: A file that is no checkpoint, models that do not agree, or a wrong ``roi``.
    """
    chosen = None if roi in ("auto", "none") else parse_window(roi)
    files = [find_checkpoint(model, checkpoint) for model in models]
    loaded = [Predictor.from_checkpoint(file, device) for file in files]
    ensemble = Ensemble([predictor for predictor, _ in loaded], mirror=mirror)
    run = _with_localizer(models) if roi == "auto" else None
    locate: Locator = whole_pictures
    if chosen is not None:
        locate = fixed_window(chosen)
    elif run is not None:
        locate = Localizer.from_run(run, device).locate
    about = {
        "models": [
            {
                "name": model.name,
                "sha256": _sha256(file),
                "holdout": card.holdout,
                "epoch": card.epoch,
                "fingerprint": card.fingerprint,
            }
            for model, file, (_, card) in zip(models, files, loaded, strict=True)
        ],
        "localizer": None if run is None else _sha256(run.localizer),
        "structures": list(ensemble.encoding.structures),
        "encoding": {str(key): list(names) for key, names in ensemble.encoding.values.items()},
        "roi": roi,
        "tta": mirror,
        "device": device.type,
        "tvseg": tvseg.__version__,
        "torch": version("torch"),
    }
    return Deployment(
        Pipeline(ensemble, locate),
        tuple(card for _, card in loaded),
        None if run is None else run.path,
        about,
    )


def _with_localizer(models: Sequence[Path]) -> RunFolder | None:
    runs = [RunFolder(model) for model in models if model.is_dir()]
    return next((run for run in runs if run.localizer.is_file()), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
