"""What the columns of ``cases.csv`` mean, and what tables make of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

COLUMNS = {
    "run": "run folder that predicted, or the folder of masks that was given",
    "variant": "column of the table: the run's name, 'mean mask', or the folder of masks",
    "holdout": "centre that the network has not seen, several joined by +, or none",
    "seed": "seed of the training",
    "centre": "centre that the image comes from",
    "split": "split of the centre that the image is in",
    "case": "name of the image, unique in its centre and split",
    "structure": "what this row scores",
    "dice": "Dice, 0 to 1, smoothed if the protocol says so",
    "hd95_px": "95th percentile Hausdorff distance by the protocol's rule; like all distances in "
    "px of a region whose longer side is 800, and charged when one mask is empty",
    "hd_px": "largest Hausdorff distance",
    "asd_px": "average surface distance, prediction to truth",
    "assd_px": "average symmetric surface distance",
    "missed": "the truth has the structure, the prediction lacks it",
    "spurious": "the prediction has the structure, the truth lacks it",
    "area_px": "pixels of the prediction on the grid of the scoring",
    "true_area_px": "pixels of the truth on the same grid",
    "hd95_share": "hd95_px as a share of the true disc's diameter, that of a circle of its area",
    "assd_share": "assd_px as a share of the same diameter",
    "surface_dice_2_5": "surface Dice at a tolerance of 2.5 % of the same diameter, 0 to 1",
    "surface_dice_5": "surface Dice at a tolerance of 5 % of it",
    "vcdr": "vertical cup-to-disc ratio of the prediction, largest column counts (REFUGE); in the "
    "row of the cup alone, so that an image counts once; empty without a predicted disc",
    "true_vcdr": "the same of the truth",
    "vcdr_box": "vertical cup-to-disc ratio of the prediction, heights of bounding boxes",
    "true_vcdr_box": "the same of the truth",
}
"""Every column of ``cases.csv``, in order. The names stay as they are."""

MEAN_MASK = "mean mask"
"""Variant of the rows of the mean mask, the prediction that needs no network."""

IMAGE = ("centre", "split", "case")
"""The columns that identify an image of a data root."""


Values = Callable[[pd.DataFrame], "pd.Series[float]"]
"""From rows of ``cases.csv`` to one number a row."""


@dataclass(frozen=True)
class Metric:
    """How tables tell a number of the rows.

    Attributes:
        name: What tables call it.
        unit: Of the tables; px are those of a region of side 800, diameters the true disc's.
        factor: From the rows' unit to the tables'.
        best: Which mean is the best: the highest, the lowest, or the one nearest to zero.
        values: How the rows give it.
        digits: How many tables print after the point.
    """

    name: str
    unit: str
    factor: float
    best: Literal["highest", "lowest", "nearest to zero"]
    values: Values
    digits: int = 2


def _column(name: str) -> Values:
    return lambda cases: cases[name]


def _error(name: str) -> Values:
    return lambda cases: cases[name] - cases[f"true_{name}"]


def _absolute_error(name: str) -> Values:
    return lambda cases: (cases[name] - cases[f"true_{name}"]).abs()


METRICS = {
    "dice": Metric("DSC", "%", 100.0, "highest", _column("dice")),
    "hd95_px": Metric("HD95", "px", 1.0, "lowest", _column("hd95_px")),
    "hd_px": Metric("HD", "px", 1.0, "lowest", _column("hd_px")),
    "asd_px": Metric("ASD", "px", 1.0, "lowest", _column("asd_px")),
    "assd_px": Metric("ASSD", "px", 1.0, "lowest", _column("assd_px")),
    "hd95_share": Metric("HD95", "% of diameter", 100.0, "lowest", _column("hd95_share")),
    "assd_share": Metric("ASSD", "% of diameter", 100.0, "lowest", _column("assd_share")),
    "surface_dice_2_5": Metric(
        "surface DSC at 2.5 %", "%", 100.0, "highest", _column("surface_dice_2_5")
    ),
    "surface_dice_5": Metric(
        "surface DSC at 5 %", "%", 100.0, "highest", _column("surface_dice_5")
    ),
    "vcdr_error": Metric("vCDR MAE", "", 1.0, "lowest", _absolute_error("vcdr"), 3),
    "vcdr_bias": Metric("vCDR bias", "", 1.0, "nearest to zero", _error("vcdr"), 3),
    "vcdr_box_error": Metric("vCDR MAE (box)", "", 1.0, "lowest", _absolute_error("vcdr_box"), 3),
    "vcdr_box_bias": Metric("vCDR bias (box)", "", 1.0, "nearest to zero", _error("vcdr_box"), 3),
}
"""What is averaged over the rows, by the name that ``summary.json`` and comparisons use. The two of
vCDR have values in the rows of the cup alone."""
