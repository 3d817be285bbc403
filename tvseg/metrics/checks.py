"""What the metrics accept: boolean 2-D arrays, checked once at the boundary."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""Boolean array of shape (height, width), True inside the structure."""


def check_mask(mask: Mask, name: str) -> None:
    """Raise unless an array is a mask.

    Args:
        mask: The array to check.
        name: What the caller names it, for the message.

    Raises:
        ValueError: If `mask` is not a 2-D numpy array of dtype bool.
    """
    if not isinstance(mask, np.ndarray):
        arrived = f"a {type(mask).__name__}"
    elif mask.ndim != 2 or mask.dtype != np.bool_:
        arrived = f"shape {mask.shape} and dtype {mask.dtype}"
    else:
        return
    raise ValueError(
        f"{name} must be a 2-D numpy array of dtype bool, got {arrived}; "
        "pass one channel of one image, compared with a threshold"
    )


def check_mask_pair(
    first: Mask, second: Mask, names: tuple[str, str] = ("prediction", "truth")
) -> None:
    """Raise unless two arrays are masks of one shape.

    Args:
        first: The first array.
        second: The second array.
        names: What the caller names the two, for the message.

    Raises:
        ValueError: If one is not a 2-D numpy array of dtype bool, or the shapes differ.
    """
    check_mask(first, names[0])
    check_mask(second, names[1])
    if first.shape != second.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same shape, got {first.shape} and "
            f"{second.shape}; resize one of them to the other's grid (nearest neighbour)"
        )
