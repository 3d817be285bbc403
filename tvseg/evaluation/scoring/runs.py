"""Scores finished runs on the centre that each has not seen, as ``tvseg predict`` runs them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tvseg.data.cases import Case, find_cases
from tvseg.data.centres import centres_of
from tvseg.data.fingerprint import fingerprint, identify_all
from tvseg.data.folds import Fold, make_fold
from tvseg.data.images import resize_masks
from tvseg.errors import UserError
from tvseg.evaluation.schema import MEAN_MASK
from tvseg.evaluation.scoring.mean_mask import mean_mask, mean_mask_at
from tvseg.evaluation.scoring.members import ensemble_name
from tvseg.evaluation.scoring.protocols import Protocol, Scoring
from tvseg.evaluation.scoring.rows import Score, score
from tvseg.evaluation.tables.summary import scores_of, summarise
from tvseg.files import as_text, write_json, write_text
from tvseg.inference.adaptation import adapt
from tvseg.inference.load import Model, load
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings


def find_runs(paths: Sequence[Path]) -> list[RunFolder]:
    """Return the finished runs among run folders and folders of runs, sorted by name.

    Raises:
        ValueError: A path that is neither, or nothing finished in any.
    """
    folders: list[Path] = []
    for path in paths:
        if (path / "config.yaml").is_file():
            if not RunFolder(path).is_of_task():
                raise UserError(f"runs must be of 'tvseg train'; {path} is one of another training")
            folders.append(path)
            RunFolder(path).check_finished()
        elif path.is_dir():
            below = sorted(config.parent for config in path.glob("*/config.yaml"))
            folders += [run for run in below if RunFolder(run).is_of_task()]
        else:
            raise UserError(f"runs must be run folders or folders of them; {path} does not exist")
    runs = [RunFolder(path) for path in dict.fromkeys(folders)]
    finished = [run for run in runs if (run.path / "run.json").is_file() and run.is_finished()]
    if not finished:
        where = ", ".join(str(path) for path in paths)
        raise UserError(f"no finished run in {where}; make one with 'tvseg train --holdout LETTER'")
    return finished


@dataclass(frozen=True)
class Subject:
    """A run, or an ensemble of runs, with all that it takes to score it.

    Attributes:
        run: Where the scores are kept: the run's folder, or one beside the ensemble's runs.
        variant: Column of the table.
        seed: Of the run; 0 for an ensemble.
        model: What is scored.
        cases: What it is scored on.
        mean_mask: float32 (S, side, side) of the run's source centres; ``None`` for an ensemble.
        scoring: By which cases and model were chosen and are scored.
    """

    run: RunFolder
    variant: str
    seed: int
    model: Model
    cases: tuple[Case, ...]
    mean_mask: np.ndarray | None
    scoring: Scoring

    @property
    def card(self) -> SegmentationCard:
        """Of the first checkpoint."""
        return self.model.cards[0]

    def predictions(self, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Predict a photograph by the model and by the mean mask, on the protocol's grid.

        Args:
            image: uint8 (H, W, 3).

        Yields:
            The variant's name, and bool (S, H, W) or (S, grid_px, grid_px).

        Raises:
            UserError: The photograph is too small.
        """
        masks = predict_on_grid(self.model, image, self.scoring.protocol)
        yield self.variant, masks
        if self.mean_mask is not None:
            yield MEAN_MASK, mean_mask_at(self.mean_mask, *masks.shape[1:])

    def about(self, case: Case, variant: str) -> Score:
        """Return the first columns of the rows of a case."""
        return {
            "run": self.run.path.name,
            "variant": variant,
            "holdout": self.card.holdout,
            "seed": self.seed,
            "centre": case.centre.letter,
            "split": case.split,
            "case": as_text(case.name),
        }


def open_runs(
    runs: Sequence[RunFolder],
    scoring: Scoring,
    *,
    root: Path,
    device: str | None = None,
    known: set[str],
) -> Subject:
    """Load a run, or several as an ensemble, and choose the cases to score it on.

    Args:
        runs: A finished run, or several of one held-out centre, whose names the ensemble's joins.
        scoring: What to score, and how.
        root: Data root.
        device: Where to compute; ``None`` chooses.
        known: Fingerprints that were found below ``root``; grows.

    Raises:
        UserError: Data or checkpoint cannot be read, or the data are others than in training.
    """
    run = runs[0]
    if scoring.roi == "auto" and not any(one.localizer.is_file() for one in runs):
        raise UserError(
            f"--roi auto takes a run with a localizer, {run.path} has none; make it with "
            f"'tvseg train-localizer {run.path}'"
        )
    model = load(
        [one.path for one in runs],
        device=device,
        checkpoint=scoring.checkpoint,
        roi=scoring.roi,
        tta=scoring.tta,
    )
    card = model.cards[0]
    cases_of = cases_by_centre(root, card.settings)
    check_data(cases_of, card.fingerprint, known)
    fold = make_fold(cases_of, card.holdout)
    cases = tuple(scored_cases(fold, scoring.images))
    if scoring.adapt != "none":
        adapt(model.pipeline, (case.read()[0] for case in cases))
    alone = len(runs) == 1
    names = [one.settings.display_name for one in model.cards]
    name = "+".join(dict.fromkeys(names))
    return Subject(
        run=run if alone else RunFolder(run.path.parent / ensemble_name(names, card.holdout)),
        variant=name if alone else f"{name} ensemble",
        seed=card.settings.seed if alone else 0,
        model=model,
        cases=cases,
        mean_mask=mean_mask(fold.train, side_px=card.settings.image_size) if alone else None,
        scoring=scoring,
    )


def evaluate_run(subject: Subject) -> pd.DataFrame:
    """Score a run and leave ``cases.csv`` and ``summary.json`` in its ``eval`` folder.

    Args:
        subject: The run and its cases.

    Returns:
        A row per image and structure, for the network and for the mean mask, with the columns of
        :data:`tvseg.evaluation.schema.COLUMNS`.

    Raises:
        UserError: A case cannot be read.
    """
    rows: list[Score] = []
    protocol = subject.scoring.protocol
    structures = subject.card.settings.structures
    for case in tqdm(subject.cases, f"scoring {subject.run.path.name}", leave=False):
        image, masks = case.read()
        truth = on_grid(masks, protocol)
        for variant, prediction in subject.predictions(image):
            scores = score(prediction, truth, structures, protocol)
            rows += [subject.about(case, variant) | row for row in scores]
    table = pd.DataFrame(rows)
    _write(subject, table)
    return table


def predict_on_grid(model: Model, image: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Return the masks of a photograph on a protocol's grid, bool (S, H, W).

    Raises:
        UserError: The photograph is too small.
    """
    pipeline = replace(
        model.pipeline, postprocessing=protocol.postprocessing, grid_px=protocol.grid_px
    )
    (segmentation,) = pipeline([image])  # alone: a batch would change the last bits
    if isinstance(segmentation, UserError):
        raise segmentation
    return segmentation.placed.whole()


def scored_cases(fold: Fold, images: str) -> list[Case]:
    """Return the cases to score: of the target, else of the sources' test splits.

    Args:
        fold: Of the run.
        images: ``test`` or ``all`` images of the target, or ``sources``; without a target ``test``
            and ``sources`` are the same.

    Raises:
        UserError: All images of centres that were trained on.
    """
    if fold.holdout == "none" and images == "all":
        raise UserError("images=all would score the images that a holdout of none trained on")
    if fold.holdout == "none" or images == "sources":
        return list(fold.validation)
    return [case for case in fold.target if images == "all" or case.split == "test"]


def cases_by_centre(root: Path, settings: SegmentationSettings) -> dict[str, list[Case]]:
    """Return every centre's cases below a data root."""
    return {letter: find_cases(root, centre) for letter, centre in centres_of(settings).items()}


def check_data(cases: Mapping[str, Sequence[Case]], expected: str, known: set[str]) -> None:
    """Raise UserError unless the images of all centres are those that a run was made with.

    Args:
        cases: Cases of every centre.
        expected: Fingerprint that the run has noted.
        known: Fingerprints found in the same folder before, each by decoding every image; grows.
    """
    if expected in known:
        return
    found = fingerprint(identify_all([case for centre in cases.values() for case in centre]))
    if found != expected:
        raise UserError(
            f"the data must be those that the run was made with, fingerprint {expected}; "
            f"these have {found}; give their folder as --data, or train on these"
        )
    known.add(found)


def on_grid(masks: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Return true masks, bool (S, H, W), on the grid that a protocol scores on."""
    if protocol.grid_px is None:
        return masks
    return resize_masks(masks, protocol.grid_px)


def _write(subject: Subject, table: pd.DataFrame) -> None:
    folder, protocol = subject.scoring.folder(subject.run), subject.scoring.protocol
    write_text(folder / "cases.csv", table.to_csv(index=False))
    masks = protocol.prediction_words(subject.card.settings.scattered)
    summary = {
        "protocol": protocol.name,
        "words": f"{masks}; {protocol.scoring_words}",
        "size": protocol.grid_px or "native",
        "shape": protocol.postprocessing.shape,
        "images": subject.scoring.images,
        "checkpoint": subject.scoring.checkpoint,
        "epoch": subject.card.epoch,
        "chosen": subject.card.chosen,
        "fingerprint": subject.card.fingerprint,
        "scores": scores_of(summarise(table)),
    }
    write_json(folder / "summary.json", summary)
