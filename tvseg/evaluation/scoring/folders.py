"""Scores anybody's masks: a folder of predictions against a folder of truths."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from tvseg.data.cases import find_pictures
from tvseg.data.centres import MaskEncoding
from tvseg.data.images import read_labels
from tvseg.errors import UserError, one_line
from tvseg.evaluation.scoring.protocols import Protocol
from tvseg.evaluation.scoring.rows import Score, score
from tvseg.evaluation.scoring.runs import on_grid
from tvseg.evaluation.tables.summary import scores_of, summarise
from tvseg.files import as_text, write_json, write_text

NOWHERE = "-"  # centre and split of masks of which nothing but their folder is known


@dataclass(frozen=True)
class Scored:
    """Rows with the columns of ``cases.csv``, and a reason for each name that has none."""

    rows: pd.DataFrame
    failed: dict[str, str]


def score_folders(
    predictions: Path,
    truth: Path,
    *,
    protocol: Protocol,
    truth_encoding: MaskEncoding,
    prediction_encoding: MaskEncoding,
) -> Scored:
    """Score each label image of one folder against that of the same name in another.

    Masks are taken as they are; the protocol decides the grid and the metrics.

    Args:
        predictions: Folder of label images.
        truth: Folder of label images.
        protocol: How to score.
        truth_encoding: Of the truth's pixel values.
        prediction_encoding: Of the predictions', with the same structures.

    Returns:
        Rows of the pairs that could be scored. A name without a partner, an unreadable file, two
        sizes or an unknown pixel value fails, and the rest goes on.

    Raises:
        ValueError: A folder that does not exist or holds no picture, two files of one name, or
            encodings of different structures.
    """
    if truth_encoding.structures != prediction_encoding.structures:
        raise UserError(
            "both encodings must be of the same structures, got "
            f"{', '.join(prediction_encoding.structures)} for the predictions and "
            f"{', '.join(truth_encoding.structures)} for the truth"
        )
    found, expected = _pictures(predictions, "predictions"), _pictures(truth, "truth")
    rows: list[Score] = []
    failed: dict[str, str] = {}
    for name in tqdm(sorted(found.keys() | expected.keys()), "scoring", leave=False):
        try:
            if name not in found or name not in expected:
                lacking = predictions if name not in found else truth
                raise UserError(f"no file of this name in {lacking}")
            masks = _decode(found[name], prediction_encoding)
            true = _decode(expected[name], truth_encoding)
            if masks.shape != true.shape:
                sizes = [f"{m.shape[2]} x {m.shape[1]} px" for m in (masks, true)]
                raise UserError(
                    f"the prediction must have the truth's size, {sizes[1]}, got {sizes[0]}"
                )
        except (ValueError, OSError) as error:
            failed[name] = one_line(error)
            continue
        grids = on_grid(masks, protocol), on_grid(true, protocol)
        scores = score(*grids, truth_encoding.structures, protocol)
        rows += [_about(predictions, name) | row for row in scores]
    return Scored(pd.DataFrame(rows), failed)


def write_scored(out: Path, scored: Scored, caption: str, protocol: Protocol) -> None:
    """Write ``cases.csv`` and ``summary.json``.

    Args:
        out: Folder to write to.
        scored: At least one pair that could be scored.
        caption: Of the tables.
        protocol: How it was scored.
    """
    write_text(out / "cases.csv", scored.rows.to_csv(index=False))
    summary = {
        "protocol": protocol.name,
        "words": caption,
        "size": protocol.grid_px or "native",
        "failed": scored.failed,
        "scores": scores_of(summarise(scored.rows)),
    }
    write_json(out / "summary.json", summary)


def _pictures(folder: Path, what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{what} must be a folder of label images; {folder} is none")
    found = find_pictures(folder)
    if not found:
        raise UserError(f"{what} must be a folder of label images; {folder} holds no picture")
    return found


def _decode(path: Path, encoding: MaskEncoding) -> np.ndarray:
    labels = read_labels(path)
    try:
        return encoding.decode(labels)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _about(predictions: Path, name: str) -> Score:
    folder = predictions.resolve().name
    return {
        "run": folder,
        "variant": folder,
        "holdout": "none",
        "seed": 0,
        "centre": NOWHERE,
        "split": NOWHERE,
        "case": as_text(name),
    }
