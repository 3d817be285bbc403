"""Scores finished runs on the centre that each has not seen, with the deployed predictor."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from tvseg.data.cases import Case, find_cases
from tvseg.data.centres import centres_of
from tvseg.data.fingerprint import fingerprint, identify_all
from tvseg.data.folds import Fold, make_fold
from tvseg.data.images import pad_to_square, resize_mask
from tvseg.device import exact_fp32
from tvseg.errors import UserError
from tvseg.evaluation.schema import MEAN_MASK
from tvseg.evaluation.scoring.mean_mask import mean_mask, mean_mask_at
from tvseg.evaluation.scoring.protocols import Protocol
from tvseg.evaluation.scoring.rows import Score, score
from tvseg.evaluation.tables.summary import scores_of, summarise
from tvseg.files import write_json, write_text
from tvseg.inference.predictor import Predictor, find_checkpoint
from tvseg.runs.checkpoint import Card
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings

IMAGES = ("test", "all")


def find_runs(paths: Sequence[Path]) -> list[RunFolder]:
    """Finished runs among run folders and folders of runs, sorted by name.

    Raises:
        ValueError: A path that is neither, or nothing finished in any.
    """
    folders: list[Path] = []
    for path in paths:
        if (path / "config.yaml").is_file():
            folders.append(path)
            if not RunFolder(path).is_finished():
                raise UserError(f"{path} is not finished; continue it with 'tvseg train --resume'")
        elif path.is_dir():
            folders += sorted(config.parent for config in path.glob("*/config.yaml"))
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
    """A run with all that it takes to score it.

    Attributes:
        run: A finished run.
        card: Of its checkpoint.
        predictor: The deployed predictor, with the checkpoint's network.
        cases: What is scored.
        mean_mask: float32 (S, side, side) of the run's own source centres.
        images: ``test`` or ``all``, by which the cases were chosen.
        checkpoint: ``best`` or ``last``.
    """

    run: RunFolder
    card: Card
    predictor: Predictor
    cases: tuple[Case, ...]
    mean_mask: np.ndarray
    images: str
    checkpoint: str

    def predictions(
        self, image: np.ndarray, protocol: Protocol
    ) -> Iterator[tuple[str, np.ndarray]]:
        """The network's masks and the mean mask for a photograph, on the protocol's grid.

        Args:
            image: uint8 (H, W, 3).
            protocol: How to make masks.

        Yields:
            The variant's name, and bool (S, H, W) or (S, grid_px, grid_px).
        """
        masks = self.predictor.masks(
            image, postprocessing=protocol.postprocessing, side_px=protocol.grid_px
        )
        yield self.card.settings.display_name, masks
        yield MEAN_MASK, mean_mask_at(self.mean_mask, *masks.shape[1:])

    def about(self, case: Case, variant: str) -> Score:
        """The first columns of the rows of a case."""
        return {
            "run": self.run.path.name,
            "variant": variant,
            "holdout": self.card.holdout,
            "seed": self.card.settings.seed,
            "centre": case.centre.letter,
            "split": case.split,
            "case": case.name,
        }


def open_run(
    run: RunFolder,
    *,
    root: Path,
    images: str,
    checkpoint: str,
    device: torch.device,
    known: set[str],
) -> Subject:
    """Read a run, and choose the cases to score it on.

    Args:
        run: A finished run.
        root: Data root.
        images: ``test`` for the held-out centre's test split, ``all`` for all its images; a run
            without a held-out centre is scored on all centres' test splits.
        checkpoint: ``best`` or ``last``.
        device: Where to compute.
        known: Fingerprints that were found below ``root``; grows.

    Raises:
        ValueError: Data or checkpoint cannot be read, or the data are others than in training.
    """
    predictor, card = Predictor.from_checkpoint(find_checkpoint(run.path, checkpoint), device)
    cases_of = cases_by_centre(root, card.settings)
    check_data(cases_of, card.fingerprint, known)
    fold = make_fold(cases_of, card.holdout)
    return Subject(
        run=run,
        card=card,
        predictor=predictor,
        cases=tuple(scored_cases(fold, images)),
        mean_mask=mean_mask(fold.train, side_px=card.settings.image_size),
        images=images,
        checkpoint=checkpoint,
    )


def evaluate_run(subject: Subject, protocol: Protocol) -> pd.DataFrame:
    """Score one run in fp32 and leave ``cases.csv`` and ``summary.json`` in its ``eval`` folder.

    Args:
        subject: The run and its cases.
        protocol: How to score.

    Returns:
        A row per image and structure, for the network and for the mean mask, with the columns of
        :data:`tvseg.evaluation.schema.COLUMNS`.

    Raises:
        ValueError: A case cannot be read.
    """
    rows: list[Score] = []
    structures = subject.card.settings.structures
    with exact_fp32():
        for case in tqdm(subject.cases, f"scoring {subject.run.path.name}", leave=False):
            image, masks = case.read()
            truth = on_grid(masks, protocol)
            for variant, prediction in subject.predictions(image, protocol):
                scores = score(prediction, truth, structures, protocol)
                rows += [subject.about(case, variant) | row for row in scores]
    table = pd.DataFrame(rows)
    _write(subject, protocol, table)
    return table


def scored_cases(fold: Fold, images: str) -> list[Case]:
    """The cases that count: of the target, or of all centres' test splits when there is none.

    Raises:
        ValueError: An unknown choice of images, or all images of centres that were trained on.
    """
    if images not in IMAGES:
        raise UserError(f"images must be one of {', '.join(IMAGES)}, got {images!r}")
    if fold.holdout == "none":
        if images == "all":
            raise UserError("images=all would score the images that a holdout of none trained on")
        return list(fold.validation)
    return [case for case in fold.target if images == "all" or case.split == "test"]


def cases_by_centre(root: Path, settings: SegmentationSettings) -> dict[str, list[Case]]:
    """Every centre's cases below a data root."""
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
    """True masks, bool (S, H, W), on the grid that a protocol scores on."""
    if protocol.grid_px is None:
        return masks
    return np.stack([resize_mask(pad_to_square(mask), protocol.grid_px) for mask in masks])


def evaluation_folder(run: RunFolder, protocol: Protocol, images: str, checkpoint: str) -> Path:
    """Where a scoring is kept: ``eval/<protocol>``, other choices in the folder's name."""
    parts = [protocol.label]
    parts += [images] if images != "test" else []
    parts += [checkpoint] if checkpoint != "best" else []
    return run.path / "eval" / "-".join(parts)


def _write(subject: Subject, protocol: Protocol, table: pd.DataFrame) -> None:
    folder = evaluation_folder(subject.run, protocol, subject.images, subject.checkpoint)
    write_text(folder / "cases.csv", table.to_csv(index=False))
    summary = {
        "protocol": protocol.name,
        "words": f"{protocol.prediction_words}; {protocol.scoring_words}",
        "size": protocol.grid_px or "native",
        "images": subject.images,
        "checkpoint": subject.checkpoint,
        "epoch": subject.card.epoch,
        "chosen": subject.card.chosen,
        "fingerprint": subject.card.fingerprint,
        "scores": scores_of(summarise(table)),
    }
    write_json(folder / "summary.json", summary)
