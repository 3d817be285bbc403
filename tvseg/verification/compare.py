"""Two pictures compared: the same person or not, and how often that is wrong."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tvseg.errors import UserError
from tvseg.runs.folder import RunFolder
from tvseg.verification.distances import VALIDATION_FILE
from tvseg.verification.embedder import FaceEmbedder
from tvseg.verification.evaluation.scored_runs import read_distances
from tvseg.verification.scoring import best_threshold

HIGH_ERROR = 0.1
"""Mean of false accept and false reject rate from which a threshold is warned of."""

_WRITES_IT = "'tvseg faces train --resume' with its settings writes it"


@dataclass(frozen=True)
class Comparison:
    """Two pictures compared.

    Attributes:
        similarity: Cosine of the embeddings, -1 to 1.
        threshold: Similarity from which pictures count as one person.
        false_accepts: Share of the validation pairs of two people at or above the threshold.
        true_accepts: Share of the validation pairs of one person at or above it.
    """

    similarity: float
    threshold: float
    false_accepts: float
    true_accepts: float

    @property
    def warning(self) -> str:
        """What to beware of, empty where the validation pairs are told apart well."""
        if (self.false_accepts + 1 - self.true_accepts) / 2 <= HIGH_ERROR:
            return ""
        return (
            f"Warning: at this threshold {100 * self.false_accepts:.0f} % of the validation pairs "
            f"of two people count as the same, and {100 * self.true_accepts:.0f} % of those of "
            "one: the answer says little"
        )

    def __str__(self) -> str:
        answer = "same" if self.similarity >= self.threshold else "different"
        return (
            f"{answer}: similarity {self.similarity:.3f}, threshold {self.threshold:.3f}, false "
            f"accept rate {100 * self.false_accepts:.2f} %, true accept rate "
            f"{100 * self.true_accepts:.2f} % on the validation pairs"
        )


def compare_pictures(
    left: Path,
    right: Path,
    model: Path,
    *,
    threshold: float | None = None,
    device: str | None = None,
) -> Comparison:
    """Compare two pictures of aligned faces.

    Args:
        left: A picture file.
        right: Another one.
        model: A run folder of 'tvseg faces train', or its best checkpoint.
        threshold: Squared distance of unit embeddings; by default that of the validation pairs.
        device: Name of a torch device; ``None`` chooses.

    Raises:
        UserError: A picture is damaged, the run has no validation distances, or they are of another
            checkpoint.
    """
    run = RunFolder(model if model.is_dir() else model.parent.parent)
    if model.is_file() and model.resolve() != run.best.resolve():
        raise UserError(
            f"model must be a run folder, or its {run.best.name}, of which the validation "
            f"distances are; got {model}"
        )
    embedder = FaceEmbedder(model, device=device)
    one, other = embedder.embed([left, right])
    known = _validation_distances(run.path)
    if threshold is None:
        threshold = best_threshold(
            known["squared_distance"].to_numpy(), known["same"].to_numpy() == 1
        )
    accepted = (known["squared_distance"] <= threshold).groupby(known["same"]).mean()
    return Comparison(float(one @ other), 1 - threshold / 2, float(accepted[0]), float(accepted[1]))


def _validation_distances(run: Path) -> pd.DataFrame:
    path = run / VALIDATION_FILE
    if not path.is_file():
        raise UserError(f"{run} must hold {VALIDATION_FILE}; {_WRITES_IT}")
    return read_distances(path, remedy=f"remove it, then {_WRITES_IT}")
