"""Scores of finished runs on sets of pairs, and the table over runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tvseg.device import choose_device
from tvseg.errors import UserError
from tvseg.files import write_json, write_text
from tvseg.models.builder import freeze
from tvseg.runs.folder import RunFolder
from tvseg.verification.data import PairSet
from tvseg.verification.network import embed, load_face_network
from tvseg.verification.scoring import (
    PROTOCOLS,
    error_rates,
    squared_distances,
)

BATCH = 256

VALIDATION_FILE = "validation_pairs.csv"
"""Distances of the validation pairs by the best epoch, in the run folder."""


@dataclass(frozen=True)
class SetScore:
    """Scores of one run on one set of pairs.

    Attributes:
        set: Name of the set.
        pairs: Number of pairs.
        accuracy: Mean over folds, in %.
        standard_error: Of the mean over folds, in percentage points.
        threshold: Mean over folds, a squared distance of unit embeddings.
        tar_at_far_1e2: True accept rate at a false accept rate of 1e-2, in %.
        tar_at_far_1e3: The same at 1e-3.
        auc: Area under the ROC curve, 0 to 1.
        eer: Equal error rate, in %.
    """

    set: str
    pairs: int
    accuracy: float
    standard_error: float
    threshold: float
    tar_at_far_1e2: float
    tar_at_far_1e3: float
    auc: float
    eer: float


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


class FaceEmbedder:
    """A frozen face network that embeds pictures.

    Args:
        path: A run folder or a checkpoint file.
        device: Name of a torch device; ``None`` chooses.
    """

    def __init__(self, path: Path, *, device: str | None = None, checkpoint: str = "best") -> None:
        run = RunFolder(path)
        file = {"best": run.best, "last": run.last}[checkpoint] if path.is_dir() else path
        if not file.is_file():
            raise UserError(f"{path} must be a run of 'tvseg faces train' with {file.name} in it")
        self.device = choose_device(device)
        self.network, self.card = load_face_network(file)
        self.network.to(self.device)
        freeze(self.network)
        self.side_px = self.card.settings.image_size

    def __call__(self, pixels: np.ndarray, *, flip: bool = False) -> np.ndarray:
        """Embed pictures.

        Args:
            pixels: uint8 (N, S, S, 3), RGB, of the network's size.
            flip: Add the embeddings of the mirror images.

        Returns:
            float64 (N, embedding), not scaled to length 1.
        """
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        parts = [
            embed(self.network, pictures[start : start + BATCH].to(self.device), flip=flip).cpu()
            for start in range(0, len(pictures), BATCH)
        ]
        return torch.cat(parts).double().numpy()


def distances_of(pairs: PairSet, embedded: np.ndarray) -> pd.DataFrame:
    """Return a row for each pair: pictures, whether they show one person, fold, distance."""
    left, right = embedded[pairs.left], embedded[pairs.right]
    names = np.array(pairs.names)
    return pd.DataFrame(
        {
            "left": names[pairs.left],
            "right": names[pairs.right],
            "same": pairs.same.astype(int),
            "fold": pairs.fold,
            "squared_distance": squared_distances(left, right),
        }
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
        A row for each run and set: ``run``, ``backbone``, ``width``, ``operator``, ``seed`` and
        the fields of :class:`SetScore`.
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
            about = {
                "run": path.name, "backbone": settings.backbone, "width": settings.width,
                "operator": settings.operator, "seed": settings.seed,
            }  # fmt: skip
            rows.append(about | asdict(score))
        about = {"protocol": protocol, "checkpoint": checkpoint, "chosen": embedder.card.chosen}
        write_json(path / "eval" / protocol / "scores.json", about | {"scores": scores})
    return pd.DataFrame(rows)
