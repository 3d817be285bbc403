"""Scores finished runs on the centre that each has not seen, with the deployed predictor."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from tvseg.config import Settings
from tvseg.data.cases import Case, find_cases
from tvseg.data.centres import centres_of
from tvseg.data.folds import Fold, make_fold
from tvseg.data.identity import fingerprint, identify_all
from tvseg.data.images import pad_to_square, resize_mask
from tvseg.evaluation.mean_mask import mean_mask, mean_mask_at
from tvseg.evaluation.protocols import Protocol
from tvseg.evaluation.records import Row, score
from tvseg.evaluation.tables import MEAN_MASK
from tvseg.files import write_json, write_text
from tvseg.inference.predictor import Predictor, find_checkpoint
from tvseg.training.checkpoint import Card
from tvseg.training.run_folder import RunFolder

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
                raise ValueError(f"{path} is not finished; continue it with 'tvseg train --resume'")
        elif path.is_dir():
            folders += sorted(config.parent for config in path.glob("*/config.yaml"))
        else:
            raise ValueError(f"runs must be run folders or folders of them; {path} does not exist")
    runs = [RunFolder(path) for path in dict.fromkeys(folders)]
    finished = [run for run in runs if (run.path / "run.json").is_file() and run.is_finished()]
    if not finished:
        where = ", ".join(str(path) for path in paths)
        raise ValueError(
            f"no finished run in {where}; make one with 'tvseg train --holdout LETTER'"
        )
    return finished


def evaluate_run(
    run: RunFolder,
    *,
    root: Path,
    protocol: Protocol,
    images: str,
    checkpoint: str,
    device: torch.device,
    known: set[str],
) -> pd.DataFrame:
    """Score one run and leave ``cases.csv`` and ``summary.json`` in its ``eval`` folder.

    Args:
        run: A finished run.
        root: Data root.
        protocol: How to score.
        images: ``test`` for the held-out centre's test split, ``all`` for all its images; a run
            without a held-out centre is scored on all centres' test splits.
        checkpoint: ``best`` or ``last``.
        device: Where to compute.
        known: Fingerprints that were found below ``root``; grows.

    Returns:
        A row per image and structure, for the network and for the mean mask.

    Raises:
        ValueError: Data or checkpoint cannot be read, or the data are others than in training.
    """
    predictor, card = Predictor.from_checkpoint(find_checkpoint(run.path, checkpoint), device)
    cases_of = cases_by_centre(root, card.settings)
    _check_data(cases_of, card, known)
    fold = make_fold(cases_of, card.holdout)
    cases = scored_cases(fold, images)
    mean = mean_mask(fold.train, side_px=card.settings.image_size)
    rows: list[Row] = []
    for case in tqdm(cases, f"scoring {run.path.name}", leave=False):
        image, masks = case.read()
        truth = _on_grid(masks, protocol)
        network = predictor.masks(
            image, postprocessing=protocol.postprocessing, side_px=protocol.grid_px
        )
        constant = mean_mask_at(mean, *truth.shape[1:])
        for variant, prediction in ((card.settings.run_name, network), (MEAN_MASK, constant)):
            rows += [
                _about(case, card, variant, run) | row
                for row in score(prediction, truth, card.settings.structures, protocol)
            ]
    table = pd.DataFrame(rows)
    _write(run, card, protocol, images, checkpoint, table)
    return table


def scored_cases(fold: Fold, images: str) -> list[Case]:
    """The cases that count: of the target, or of all centres' test splits when there is none.

    Raises:
        ValueError: An unknown choice of images, or all images of centres that were trained on.
    """
    if images not in IMAGES:
        raise ValueError(f"images must be one of {', '.join(IMAGES)}, got {images!r}")
    if fold.holdout == "none":
        if images == "all":
            raise ValueError("images=all would score the images that a holdout of none trained on")
        return list(fold.validation)
    return [case for case in fold.target if images == "all" or case.split == "test"]


def cases_by_centre(root: Path, settings: Settings) -> dict[str, list[Case]]:
    """Every centre's cases below a data root."""
    return {letter: find_cases(root, centre) for letter, centre in centres_of(settings).items()}


def _check_data(cases: Mapping[str, Sequence[Case]], card: Card, known: set[str]) -> None:
    """Refuse other data than the run knows; decoding them all once for several runs is enough."""
    if card.fingerprint in known:
        return
    found = fingerprint(identify_all([case for centre in cases.values() for case in centre]))
    if found != card.fingerprint:
        raise ValueError(
            f"the data must be those that the run was made with, fingerprint {card.fingerprint}; "
            f"these have {found}; give their folder as --data, or train on these"
        )
    known.add(found)


def _on_grid(masks: np.ndarray, protocol: Protocol) -> np.ndarray:
    if protocol.grid_px is None:
        return masks
    return np.stack([resize_mask(pad_to_square(mask), protocol.grid_px) for mask in masks])


def _about(case: Case, card: Card, variant: str, run: RunFolder) -> Row:
    return {
        "run": run.path.name,
        "variant": variant,
        "holdout": card.holdout,
        "seed": card.settings.seed,
        "centre": case.centre.letter,
        "split": case.split,
        "case": case.name,
    }


def evaluation_folder(run: RunFolder, protocol: Protocol, images: str, checkpoint: str) -> Path:
    """Where a scoring is kept: ``eval/<protocol>``, other choices in the folder's name."""
    parts = [protocol.name]
    parts += [images] if images != "test" else []
    parts += [checkpoint] if checkpoint != "best" else []
    return run.path / "eval" / "-".join(parts)


def _write(
    run: RunFolder,
    card: Card,
    protocol: Protocol,
    images: str,
    checkpoint: str,
    table: pd.DataFrame,
) -> None:
    folder = evaluation_folder(run, protocol, images, checkpoint)
    write_text(folder / "cases.csv", table.to_csv(index=False))
    means = table.groupby(["variant", "structure"], sort=False)[["dice", "hd95_px"]].mean()
    missed = table.groupby(["variant", "structure"], sort=False)["missed"].sum()
    summary = {
        "protocol": protocol.name,
        "words": protocol.words,
        "images": images,
        "checkpoint": checkpoint,
        "epoch": card.epoch,
        "chosen": card.chosen,
        "fingerprint": card.fingerprint,
        "scores": [
            {
                "variant": v,
                "structure": s,
                "dice": dice,
                "hd95_px": hd95,
                "n_missed": int(missed[v, s]),
            }
            for (v, s), (dice, hd95) in zip(means.index, means.to_numpy().tolist(), strict=True)
        ],
    }
    write_json(folder / "summary.json", summary)
