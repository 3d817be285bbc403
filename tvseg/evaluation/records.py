"""One row per image and structure; every mean is computed from rows."""

import math
from collections.abc import Sequence

import numpy as np

from tvseg.evaluation.metrics import dice, surface_distances
from tvseg.evaluation.protocols import REFERENCE_SIDE_PX, Protocol

Row = dict[str, object]


def score(
    prediction: np.ndarray, truth: np.ndarray, structures: Sequence[str], protocol: Protocol
) -> list[Row]:
    """Score one image.

    A structure that truth and prediction both lack has nan throughout and is left out of means;
    one that only one of them has is charged the protocol's distance.

    Args:
        prediction: bool (S, H, W), on the protocol's grid.
        truth: bool (S, H, W), on the same grid.
        structures: Names of the channels.
        protocol: How to score.

    Returns:
        A row a structure: ``structure``, ``dice`` (0 to 1), ``hd95_px``, ``hd_px``, ``asd_px``
        (prediction to truth), ``assd_px`` (px of a region of side 800), ``missed`` (in the truth
        alone), ``spurious`` (in the prediction alone), ``area_px``, ``true_area_px`` (px of the
        grid).
    """
    pairs = zip(structures, prediction, truth, strict=True)
    return [{"structure": name, **_score_one(p, t, protocol)} for name, p, t in pairs]


def _score_one(prediction: np.ndarray, truth: np.ndarray, protocol: Protocol) -> Row:
    area_px, true_area_px = int(prediction.sum()), int(truth.sum())
    both_empty = area_px == 0 and true_area_px == 0
    return {
        "dice": math.nan if both_empty else dice(prediction, truth, smooth=protocol.smooth),
        **_distances(prediction, truth, protocol),
        "missed": area_px == 0 and true_area_px > 0,
        "spurious": area_px > 0 and true_area_px == 0,
        "area_px": area_px,
        "true_area_px": true_area_px,
    }


def _distances(prediction: np.ndarray, truth: np.ndarray, protocol: Protocol) -> Row:
    scale = REFERENCE_SIDE_PX / max(truth.shape)
    names = ("hd95_px", "hd_px", "asd_px", "assd_px")
    if not prediction.any() and not truth.any():
        return dict.fromkeys(names, math.nan)
    if not prediction.any() or not truth.any():
        diagonal = math.hypot(*truth.shape) * scale
        return dict.fromkeys(names, diagonal if protocol.missed_px is None else protocol.missed_px)
    found = surface_distances(prediction, truth)
    values = (found.hd95(rule=protocol.hd95_rule), found.hd(), found.asd(), found.assd())
    return {name: value * scale for name, value in zip(names, values, strict=True)}
