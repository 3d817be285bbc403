"""Metrics of one predicted mask against one true mask.

Functions are pure and take boolean arrays of shape (height, width); distances are in pixels of
the masks' own grid. A value that an empty mask leaves undefined is nan: what a missed structure
costs is decided where rows are made, not here.

============================  ==============  ====================================
metric                        both empty      one empty
============================  ==============  ====================================
`dice` with smooth > 0        the formula, 1  the formula
`hd`, `hd95`, `asd`, `assd`   nan             nan
`dice`, `surface_dice`        nan             0
`vcdr`                        nan             empty disc: nan, empty cup: 0
============================  ==============  ====================================

`surface_distances(prediction, truth)` computes the distances of a pair once; its result has
methods of the same names as the functions here.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from tvseg.metrics.checks import Mask, check_mask_pair
from tvseg.metrics.surface import Hd95Rule, surface_distances


def dice(prediction: Mask, truth: Mask, *, smooth: float = 0.0) -> float:
    """Return the Dice similarity coefficient, (2 I + s) / (P + G + s).

    I, P and G count the pixels of the intersection, the prediction and the truth.

    Args:
        prediction: Boolean array of shape (height, width).
        truth: Boolean array of the same shape.
        smooth: s, in pixels. 0 is the plain coefficient; 1 is what the TVConv authors report.

    Returns:
        Share in [0, 1]. Without smoothing 0 if one mask is empty and nan if both are; with
        smoothing the formula's value in every case.

    Raises:
        ValueError: If the arrays are not boolean, not 2-D, or differ in shape, or if `smooth` is
            negative or not finite.

    Source:
        L. R. Dice, "Measures of the amount of ecologic association between species",
        Ecology 26(3), 1945, https://doi.org/10.2307/1932409. Smoothed: J. Chen et al., "TVConv",
        CVPR 2022, section 4.2, in the form of the authors' code.

    Example:
        >>> truth = np.array([[True, True, False]])
        >>> prediction = np.array([[False, True, True]])
        >>> dice(prediction, truth), dice(prediction, truth, smooth=1)
        (0.5, 0.6)
    """
    check_mask_pair(prediction, truth)
    if not 0 <= smooth < math.inf:
        raise ValueError(
            f"smooth must be a finite number of at least 0, got {smooth}; pass 0 for the plain form"
        )
    denominator = np.count_nonzero(prediction) + np.count_nonzero(truth) + smooth
    if denominator == 0:
        return math.nan
    return float((2 * np.count_nonzero(prediction & truth) + smooth) / denominator)


def hd(prediction: Mask, truth: Mask) -> float:
    """Return the (maximum) Hausdorff distance of two surfaces.

    Args:
        prediction: Boolean array of shape (height, width).
        truth: Boolean array of the same shape.

    Returns:
        Distance in pixels; nan if one mask or both are empty.

    Raises:
        ValueError: If the arrays are not boolean, not 2-D, or differ in shape.

    Source:
        D. P. Huttenlocher et al., "Comparing images using the Hausdorff distance", IEEE TPAMI
        15(9), 1993, equations 1 and 2, https://doi.org/10.1109/34.232073.

    Example:
        >>> truth = np.array([[True, True, False, False]])
        >>> hd(np.array([[True, True, True, True]]), truth)
        2.0
    """
    return surface_distances(prediction, truth).hd()


def hd95(prediction: Mask, truth: Mask, *, rule: Hd95Rule = "max") -> float:
    """Return the 95th percentile Hausdorff distance of two surfaces.

    The two rules differ widely when one mask has a small island: name the rule with the number.

    Args:
        prediction: Boolean array of shape (height, width).
        truth: Boolean array of the same shape.
        rule: "max", the larger of the two directed percentiles (MONAI), or "pooled", the
            percentile of both directed sets together (MedPy); linear interpolation.

    Returns:
        Distance in pixels; nan if one mask or both are empty.

    Raises:
        ValueError: If the arrays are not boolean, not 2-D, or differ in shape, or if `rule`
            is neither "max" nor "pooled".

    Source:
        "max": `compute_hausdorff_distance(percentile=95)` of https://github.com/Project-MONAI/MONAI.
        "pooled": `medpy.metric.binary.hd95` of https://github.com/loli/medpy.

    Example:
        >>> truth = np.zeros((60, 60), dtype=bool)
        >>> truth[10:40, 10:40] = True
        >>> prediction = truth.copy()
        >>> prediction[20:28, 57] = True
        >>> hd95(prediction, truth), hd95(prediction, truth, rule="pooled")
        (18.0, 0.0)
    """
    return surface_distances(prediction, truth).hd95(rule=rule)


def asd(prediction: Mask, truth: Mask) -> float:
    """Return the average surface distance, directed from prediction to truth.

    Args:
        prediction: Boolean array of shape (height, width).
        truth: Boolean array of the same shape.

    Returns:
        Distance in pixels; nan if one mask or both are empty.

    Raises:
        ValueError: If the arrays are not boolean, not 2-D, or differ in shape.

    Source:
        `medpy.metric.binary.asd` of https://github.com/loli/medpy.

    Example:
        >>> one, two = np.array([[True, False, False]]), np.array([[True, False, True]])
        >>> asd(one, two), asd(two, one)
        (0.0, 1.0)
    """
    return surface_distances(prediction, truth).asd()


def assd(prediction: Mask, truth: Mask) -> float:
    """Return the average symmetric surface distance.

    The mean over both sets of distances together, not the mean of the two directed means.

    Args:
        prediction: Boolean array of shape (height, width).
        truth: Boolean array of the same shape.

    Returns:
        Distance in pixels; nan if one mask or both are empty.

    Raises:
        ValueError: If the arrays are not boolean, not 2-D, or differ in shape.

    Source:
        T. Heimann et al., IEEE TMI 28(8), 2009, https://doi.org/10.1109/TMI.2009.2013851, as
        MedPy from 0.5.2 and MONAI have it; MedPy 0.4 averaged the two directed means.

    Example:
        >>> assd(np.array([[True, False, False, False]]), np.array([[True, False, False, True]]))
        1.0
    """
    return surface_distances(prediction, truth).assd()


def surface_dice(prediction: Mask, truth: Mask, *, tolerance_px: float) -> float:
    """Return the surface Dice at a tolerance (normalised surface distance).

    The share of both masks' surface pixels that lie within the tolerance of the other surface;
    pixels are counted, not weighted by the length of outline in them.

    Args:
        prediction: Boolean array of shape (height, width).
        truth: Boolean array of the same shape.
        tolerance_px: Largest distance that still counts as agreement, pixels, included.

    Returns:
        Share in [0, 1]; 0 if one mask is empty, nan if both are.

    Raises:
        ValueError: If the arrays are not boolean, not 2-D, or differ in shape, or if
            `tolerance_px` is negative or not finite.

    Source:
        S. Nikolov et al., arXiv:1809.04430, in the pixel-counting form of S. Seidlitz et al.,
        arXiv:2111.05408 (MONAI's `compute_surface_dice` with `use_subvoxels=False`).

    Example:
        >>> truth = np.array([[True, False, False, False]])
        >>> prediction = np.array([[False, False, True, False]])
        >>> surface_dice(prediction, truth, tolerance_px=1)
        0.0
        >>> surface_dice(prediction, truth, tolerance_px=2)
        1.0
    """
    return surface_distances(prediction, truth).surface_dice(tolerance_px=tolerance_px)


def _largest_column_count(mask: Mask) -> int:
    return int(np.count_nonzero(mask, axis=0).max())


def _box_height(mask: Mask) -> int:
    rows = np.flatnonzero(mask.any(axis=1))
    return int(rows[-1] - rows[0] + 1)


_VERTICAL_DIAMETERS: dict[str, Callable[[Mask], int]] = {
    "columns": _largest_column_count,
    "box": _box_height,
}


def vcdr(cup: Mask, disc: Mask, *, rule: Literal["columns", "box"] = "columns") -> float:
    """Return the vertical cup-to-disc ratio of one image.

    Args:
        cup: Boolean array of shape (height, width).
        disc: Boolean array of the same shape, the cup included. A cup that reaches beyond it is
            taken as it is: the ratio may then exceed 1.
        rule: The vertical diameter of a mask: "columns", the largest number of pixels in any
            column (REFUGE), or "box", the height of the bounding box.

    Returns:
        Ratio of the diameters; 0 if only the cup is empty, nan if the disc is.

    Raises:
        ValueError: If the arrays are not boolean, not 2-D, or differ in shape, or if `rule`
            is neither "columns" nor "box".

    Source:
        J. I. Orlando et al., "REFUGE Challenge", Medical Image Analysis 59, 2020,
        https://doi.org/10.1016/j.media.2019.101570; "columns" is `vertical_diameter` of
        https://github.com/ignaciorlando/refuge-evaluation, without its 1e-7 in the denominator.

    Example:
        >>> disc = np.ones((4, 2), dtype=bool)
        >>> cup = np.array([[False, False], [True, False], [False, True], [False, False]])
        >>> vcdr(cup, disc), vcdr(cup, disc, rule="box")
        (0.25, 0.5)
    """
    check_mask_pair(cup, disc, ("cup", "disc"))
    if rule not in _VERTICAL_DIAMETERS:
        raise ValueError(
            f"rule must be one of {', '.join(_VERTICAL_DIAMETERS)}, got {rule!r}; pass one of them"
        )
    if not disc.any():
        return math.nan
    if not cup.any():
        return 0.0
    diameter_px = _VERTICAL_DIAMETERS[rule]
    return diameter_px(cup) / diameter_px(disc)
