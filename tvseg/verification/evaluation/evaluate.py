"""Scores of finished runs on sets of pairs, and the table over runs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tvseg.files import write_json, write_text
from tvseg.verification.data.pictures import PairSet
from tvseg.verification.distances import distances_of
from tvseg.verification.embedder import FaceEmbedder
from tvseg.verification.evaluation.scored_runs import SetScore, about_run
from tvseg.verification.scoring import PROTOCOLS, error_rates, squared_distances


def score_pairs(pairs: PairSet, embedded: np.ndarray, *, protocol: str = "honest") -> SetScore:
    """Score the embeddings of a set's pictures.

    Args:
        pairs: The set.
        embedded: (N, D), of its pictures in order.
        protocol: A name of :data:`tvseg.verification.scoring.PROTOCOLS`.
    """
    left, right = embedded[pairs.left], embedded[pairs.right]
    found = PROTOCOLS[protocol](left, right, pairs.same, pairs.fold)
    rates = error_rates(squared_distances(left, right), pairs.same)
    return SetScore(
        pairs.name,
        len(pairs.same),
        100 * found.mean,
        100 * found.standard_error,
        float(found.thresholds.mean()),
        100 * rates.tar[1e-2],
        100 * rates.tar[1e-3],
        rates.auc,
        100 * rates.eer,
    )


def evaluate_faces(
    runs: Sequence[Path],
    sets: Sequence[PairSet],
    *,
    protocol: str = "honest",
    checkpoint: str = "best",
    device: str | None = None,
) -> pd.DataFrame:
    """Score runs on sets of pairs, and keep ``scores.json`` and distances in each run.

    Args:
        runs: Finished run folders.
        sets: Sets of pairs.
        protocol: ``honest``, ``insightface`` (mirror images added) or ``paper``, which leaks.
        checkpoint: ``best`` or ``last``.
        device: Name of a torch device; ``None`` chooses.

    Returns:
        A row for each run and set: ``run``, ``variant``, ``backbone``, ``width``, ``operator``,
        ``seed`` and the fields of :class:`SetScore`.
    """
    rows: list[dict[str, Any]] = []
    for path in runs:
        embedder = FaceEmbedder(path, device=device, checkpoint=checkpoint)
        settings = embedder.card.settings
        scores = []
        for pairs in sets:
            embedded = embedder(pairs.pixels, flip=protocol == "insightface")
            score = score_pairs(pairs, embedded, protocol=protocol)
            scores.append(asdict(score))
            distances = distances_of(pairs, embedded)
            folder = path / "eval" / protocol
            write_text(folder / f"{pairs.name}.csv", distances.to_csv(index=False))
            rows.append(about_run(path, settings) | asdict(score))
        about = {"protocol": protocol, "checkpoint": checkpoint, "chosen": embedder.card.chosen}
        write_json(path / "eval" / protocol / "scores.json", about | {"scores": scores})
    return pd.DataFrame(rows)
