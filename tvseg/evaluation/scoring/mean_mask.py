"""The predictor without a network: the mean mask of the source centres."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from tvseg.data.cases import Case
from tvseg.data.images import read_labels, resize_masks


def mean_mask(train_cases: Sequence[Case], *, side_px: int) -> np.ndarray:
    """Return the mean over centres of the mean of each centre's training masks.

    Args:
        train_cases: Cases of the source centres' train splits.
        side_px: Side of the square grid.

    Returns:
        float32 (S, side_px, side_px), shares from 0 to 1.
    """
    by_centre: dict[str, list[np.ndarray]] = {}
    for case in train_cases:
        masks = case.centre.encoding.decode(read_labels(case.mask_path))
        square = resize_masks(masks, side_px)
        by_centre.setdefault(case.centre.letter, []).append(square)
    means = [np.mean(squares, axis=0, dtype=np.float32) for squares in by_centre.values()]
    mean: np.ndarray = np.mean(means, axis=0)
    return mean


def mean_mask_at(mean: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the mean mask as a prediction for an image of some size.

    Args:
        mean: float32 (S, side, side).
        height: Of the image, in px.
        width: Of the image, in px.

    Returns:
        bool (S, height, width): where more than half of the masks are.
    """
    side = max(height, width)
    size = (side, side)
    enlarged = [
        np.array(Image.fromarray(channel).resize(size, Image.Resampling.BILINEAR))
        for channel in mean
    ]
    return np.stack(enlarged)[:, :height, :width] > 0.5
