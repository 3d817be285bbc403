"""Scores of pairs of embeddings: accuracy over folds, TAR at FAR, AUC, EER.

The distance of a pair is the squared L2 distance of its unit embeddings, 0 to 4. Thresholds are
chosen on all folds but one and applied to that one.

Three protocols: ``honest`` changes no embedding and searches every threshold; ``insightface`` is
what arcface_torch prints, thresholds 0 to 4 in steps of 0.01; ``paper`` is the published code,
which subtracts the mean of the other folds' embeddings, once more for each fold, and takes the
mean of the best of 20,001 thresholds.

Source: insightface ``recognition/arcface_torch/eval/verification.py``; TVConv
``face_recognition/utils/utils.py``; ISO/IEC 19795-1 for the error rates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tvseg.errors import UserError


@dataclass(frozen=True)
class Accuracy:
    """Accuracy over folds.

    Attributes:
        per_fold: Share of right decisions in each fold, 0 to 1.
        thresholds: The squared distance below which each fold's pairs count as the same person.
    """

    per_fold: np.ndarray
    thresholds: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over folds."""
        return float(self.per_fold.mean())

    @property
    def standard_error(self) -> float:
        """Standard deviation over folds (ddof 1) over the root of their number."""
        return float(self.per_fold.std(ddof=1) / np.sqrt(len(self.per_fold)))


@dataclass(frozen=True)
class Rates:
    """Error rates over all pairs, from the sorted distances.

    Attributes:
        auc: Area under the ROC curve.
        eer: Rate at which false accepts equal false rejects.
        tar: False accept rate -> true accept rate, for each rate asked for.
        thresholds: False accept rate -> the largest distance that is still accepted.
    """

    auc: float
    eer: float
    tar: dict[float, float]
    thresholds: dict[float, float]


def unit(features: np.ndarray) -> np.ndarray:
    """Scale each row to length 1; a row of zeros stays as it is."""
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    scaled: np.ndarray = features / np.maximum(norms, np.finfo(features.dtype).tiny)
    return scaled


def squared_distances(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the squared L2 distances of rows scaled to length 1.

    Args:
        left: (N, D).
        right: (N, D).

    Returns:
        (N,), 0 to 4.
    """
    difference = unit(left) - unit(right)
    squared: np.ndarray = np.sum(difference * difference, axis=1)
    return squared


def honest(left: np.ndarray, right: np.ndarray, same: np.ndarray, fold: np.ndarray) -> Accuracy:
    """Score each fold by the best threshold of the other folds.

    Args:
        left: Embeddings (N, D).
        right: Embeddings (N, D) of the other picture of each pair.
        same: bool (N,), whether both show the same person.
        fold: int (N,).

    Returns:
        Accuracy by fold; of equally good thresholds the middle of the widest gap is taken.
    """
    return _over_folds(squared_distances(left, right), same, fold, best_threshold)


def insightface(
    left: np.ndarray, right: np.ndarray, same: np.ndarray, fold: np.ndarray
) -> Accuracy:
    """Score as arcface_torch does: the first best of the thresholds 0, 0.01, ..., 3.99."""
    grid = np.arange(0, 4, 0.01)

    def choose(distances: np.ndarray, truth: np.ndarray) -> float:
        return float(grid[int(np.argmax(_accuracies(distances, truth, grid)))])

    return _over_folds(squared_distances(left, right), same, fold, choose)


def paper(left: np.ndarray, right: np.ndarray, same: np.ndarray, fold: np.ndarray) -> Accuracy:
    """Score as the published code does.

    For each fold the mean embedding of the other folds is subtracted from all embeddings, which
    keep what earlier folds subtracted; the threshold is the mean of the best of 20,001 squared
    distances from -3 to 3. Both leak: the embeddings of a fold depend on those of the others.
    """
    scale = 10000
    left, right = unit(left), unit(right)
    grid = np.arange(-3 * scale, 3 * scale + 1, 3) / scale
    accuracies, thresholds = [], []
    for index in np.unique(fold):
        test = fold == index
        mean = np.concatenate([left[~test], right[~test]]).mean(axis=0)
        left, right = unit(left - mean), unit(right - mean)
        distances = np.sum((left - right) ** 2, axis=1)
        scores = _accuracies(distances[~test], same[~test], grid)
        threshold = float(grid[scores == scores.max()].mean())
        thresholds.append(threshold)
        accuracies.append(float(_accuracies(distances[test], same[test], np.array([threshold]))[0]))
    return Accuracy(np.array(accuracies), np.array(thresholds))


Protocol = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Accuracy]

PROTOCOLS: dict[str, Protocol] = {"honest": honest, "insightface": insightface, "paper": paper}


def error_rates(
    distances: np.ndarray, same: np.ndarray, *, far: tuple[float, ...] = (1e-2, 1e-3)
) -> Rates:
    """Compute AUC, equal error rate, and true accept rates at false accept rates.

    A pair is accepted at a distance of at most the threshold. The threshold of a false accept
    rate is the largest that keeps it, so that no rate is interpolated.

    Args:
        distances: (N,), smaller for more alike.
        same: bool (N,).
        far: False accept rates.

    Raises:
        UserError: One of the two kinds of pairs is missing, or a distance is not finite.
    """
    if not np.isfinite(distances).all():
        raise UserError("distances must be finite; the embeddings hold NaN or infinity")
    genuine, impostor = np.sort(distances[same]), np.sort(distances[~same])
    if not len(genuine) or not len(impostor):
        raise UserError(
            f"error rates need pairs of both kinds, got {len(genuine)} of one person and "
            f"{len(impostor)} of two"
        )
    below = np.searchsorted(impostor, genuine, side="left")
    ties = np.searchsorted(impostor, genuine, side="right") - below
    auc = 1 - float((below + ties / 2).mean()) / len(impostor)
    limits = {rate: _limit(impostor, rate) for rate in far}
    tar = {rate: float((genuine <= limit).mean()) for rate, limit in limits.items()}
    return Rates(auc, _equal_error_rate(genuine, impostor), tar, limits)


def _limit(impostor: np.ndarray, rate: float) -> float:
    """Return the largest distance at which at most this share of impostors is accepted."""
    allowed = int(np.floor(rate * len(impostor) + 1e-9))
    if allowed >= len(impostor):
        return float("inf")
    return float(np.nextafter(impostor[allowed], -np.inf))


def _equal_error_rate(genuine: np.ndarray, impostor: np.ndarray) -> float:
    candidates = np.concatenate([genuine, impostor])
    accepts = np.searchsorted(impostor, candidates, side="right") / len(impostor)
    rejects = 1 - np.searchsorted(genuine, candidates, side="right") / len(genuine)
    at = int(np.argmin(np.abs(accepts - rejects)))
    return float((accepts[at] + rejects[at]) / 2)


def _over_folds(
    distances: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray,
    choose: Callable[[np.ndarray, np.ndarray], float],
) -> Accuracy:
    accuracies, thresholds = [], []
    for index in np.unique(fold):
        test = fold == index
        threshold = choose(distances[~test], same[~test])
        thresholds.append(threshold)
        accuracies.append(float(_accuracies(distances[test], same[test], np.array([threshold]))[0]))
    return Accuracy(np.array(accuracies), np.array(thresholds))


def _accuracies(distances: np.ndarray, same: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of right decisions, (T,), when distances below a threshold are accepted."""
    genuine, impostor = np.sort(distances[same]), np.sort(distances[~same])
    accepted = np.searchsorted(genuine, thresholds, side="left")
    refused = len(impostor) - np.searchsorted(impostor, thresholds, side="left")
    right: np.ndarray = (accepted + refused) / len(distances)
    return right


def best_threshold(distances: np.ndarray, same: np.ndarray) -> float:
    """Return the middle of the widest interval of thresholds of the best accuracy."""
    edges = np.concatenate([[0.0], np.unique(distances), [4.0]])
    middles = (edges[1:] + edges[:-1]) / 2
    scores = _accuracies(distances, same, middles)
    widths = np.where(scores == scores.max(), np.diff(edges), -1)
    return float(middles[int(np.argmax(widths))])
