"""One row per image and structure; every mean is computed from rows."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tvseg.errors import UserError
from tvseg.evaluation.schema import COLUMNS
from tvseg.evaluation.scoring.protocols import REFERENCE_SIDE_PX, Protocol
from tvseg.metrics import dice, surface_distances, vcdr

Score = dict[str, object]
"""Values of some columns of one row of ``cases.csv``."""

DISTANCES = ("hd95_px", "hd_px", "asd_px", "assd_px")
TEXT = ("run", "variant", "holdout", "centre", "split", "case", "structure")
TOLERANCES = {"surface_dice_2_5": 0.025, "surface_dice_5": 0.05}  # shares of the disc's diameter


def read_cases(path: Path) -> pd.DataFrame:
    """Read a ``cases.csv``, names as text even where they look like numbers.

    Raises:
        UserError: It is no CSV file, lacks columns (as one of an older version does), or holds
            something else than numbers in them.
        FileNotFoundError: There is no such file.
    """
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(TEXT, str), keep_default_na=False, na_values=[""]
        )
    except ValueError as error:  # pandas' parser errors, bytes that are no UTF-8
        raise UserError(f"{path} must be a CSV file: {' '.join(str(error).split())}") from error
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise UserError(
            f"{path} must have the columns of this version, it lacks {', '.join(missing)}; "
            "write it anew with 'tvseg eval'"
        )
    for name in COLUMNS:
        _check_column(path, table[name])
    return table


def _check_column(path: Path, values: pd.Series) -> None:
    """Raise UserError unless a column holds what its name says."""
    if values.name in TEXT:
        wrong, kind = values.isna(), "a name"
    elif values.name in ("missed", "spurious"):
        wrong, kind = ~values.astype(str).isin(["True", "False"]), "True or False"
    else:
        numbers = pd.to_numeric(values, errors="coerce")
        wrong = values.notna() & ~np.isfinite(numbers)
        wrong |= values.isna() & (values.name == "seed")
        kind = "a number"
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        value = values.iloc[row]
        got = "nothing" if pd.isna(value) else f"{str(value)!r:.80}"
        raise UserError(
            f"{path}: line {row + 2} must have {kind} as {values.name}, "
            f"got {got}; write it anew with 'tvseg eval'"
        )


def score(
    prediction: np.ndarray, truth: np.ndarray, structures: Sequence[str], protocol: Protocol
) -> list[Score]:
    """Score one image.

    A structure that truth and prediction both lack has nan throughout and is left out of means;
    one that only one of them has is charged the protocol's distance, and has a surface Dice of 0.

    Args:
        prediction: bool (S, H, W), on the protocol's grid.
        truth: bool (S, H, W), on the same grid.
        structures: Names of the channels.
        protocol: How to score.

    Returns:
        A row a structure, with the columns from ``structure`` on that
        :data:`tvseg.evaluation.schema.COLUMNS` explains. What relates to the disc is nan where
        the truth has none.
    """
    diameter_px = _disc_diameter_px(truth, structures)
    ratios = _ratios(prediction, truth, structures)
    none = dict.fromkeys(ratios, math.nan)
    return [
        {"structure": name, **_score_one(p, t, protocol, diameter_px=diameter_px)}
        | (ratios if name == "cup" else none)
        for name, p, t in zip(structures, prediction, truth, strict=True)
    ]


def _score_one(
    prediction: np.ndarray, truth: np.ndarray, protocol: Protocol, *, diameter_px: float
) -> Score:
    area_px, true_area_px = int(prediction.sum()), int(truth.sum())
    both_empty = area_px == 0 and true_area_px == 0
    distances, overlaps = _surfaces(prediction, truth, protocol, diameter_px=diameter_px)
    diameter_at_800 = diameter_px * REFERENCE_SIDE_PX / max(truth.shape)
    return {
        "dice": math.nan if both_empty else dice(prediction, truth, smooth=protocol.smooth),
        **distances,
        "missed": area_px == 0 and true_area_px > 0,
        "spurious": area_px > 0 and true_area_px == 0,
        "area_px": area_px,
        "true_area_px": true_area_px,
        "hd95_share": distances["hd95_px"] / diameter_at_800,
        "assd_share": distances["assd_px"] / diameter_at_800,
        **overlaps,
    }


def _surfaces(
    prediction: np.ndarray, truth: np.ndarray, protocol: Protocol, *, diameter_px: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Distances in px at 800 and surface Dices, from one set of distances."""
    if not prediction.any() or not truth.any():
        any_at_all = prediction.any() or truth.any()
        charge_px = _charge_px(truth.shape, protocol) if any_at_all else math.nan
        overlap = 0.0 if any_at_all and diameter_px > 0 else math.nan
        return dict.fromkeys(DISTANCES, charge_px), dict.fromkeys(TOLERANCES, overlap)
    found = surface_distances(prediction, truth)
    scale = REFERENCE_SIDE_PX / max(truth.shape)
    values = (found.hd95(rule=protocol.hd95_rule), found.hd(), found.asd(), found.assd())
    distances = {name: value * scale for name, value in zip(DISTANCES, values, strict=True)}
    overlaps = {
        name: found.surface_dice(tolerance_px=share * diameter_px) if diameter_px > 0 else math.nan
        for name, share in TOLERANCES.items()
    }
    return distances, overlaps


def _charge_px(shape: tuple[int, ...], protocol: Protocol) -> float:
    if protocol.missed_px is not None:
        return protocol.missed_px
    return math.hypot(*shape) * REFERENCE_SIDE_PX / max(shape)


def _disc_diameter_px(truth: np.ndarray, structures: Sequence[str]) -> float:
    """Diameter of the circle of the true disc's area; nan without a disc."""
    area_px = int(truth[structures.index("disc")].sum()) if "disc" in structures else 0
    return math.sqrt(4 * area_px / math.pi) if area_px else math.nan


def _ratios(prediction: np.ndarray, truth: np.ndarray, structures: Sequence[str]) -> Score:
    if not {"cup", "disc"} <= set(structures):
        return dict.fromkeys(("vcdr", "true_vcdr", "vcdr_box", "true_vcdr_box"), math.nan)
    cup, disc = structures.index("cup"), structures.index("disc")
    return {
        "vcdr": vcdr(prediction[cup], prediction[disc]),
        "true_vcdr": vcdr(truth[cup], truth[disc]),
        "vcdr_box": vcdr(prediction[cup], prediction[disc], rule="box"),
        "true_vcdr_box": vcdr(truth[cup], truth[disc], rule="box"),
    }
