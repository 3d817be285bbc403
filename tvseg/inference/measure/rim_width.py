"""Width of the neuroretinal rim by direction."""

import numpy as np
from scipy import ndimage

from tvseg.data.laterality import Laterality

DIRECTIONS = 360
SIDES = ("superior", "inferior", "left", "right", "nasal", "temporal")
_ANGLES = {"right": 0, "inferior": 90, "left": 180, "superior": 270}  # degrees; rows run down
_NASAL = {"right": "right", "left": "left"}  # side of the picture on which an eye's nose is


def rim_widths(cup: np.ndarray, disc: np.ndarray, laterality: Laterality) -> dict[str, float]:
    """Mean width of the rim in the quadrants of a photograph.

    The width in a direction is the distance between the outermost pixels of disc and cup on a ray
    from the disc's centroid; where the cup does not reach the ray it is the disc's radius.

    Args:
        cup: bool (H, W).
        disc: bool (H, W), the cup included.
        laterality: Which eye it is. In a photograph of the right eye the nose is on the right.

    Returns:
        Widths in px by side: superior, inferior, left and right as the picture shows them, nasal
        and temporal where the eye is known; NaN where it is not, and without a cup or a disc.
    """
    widths = dict.fromkeys(SIDES, float("nan"))
    if not cup.any() or not disc.any():
        return widths
    rim_px = _radii(disc, disc) - _radii(cup, disc)
    for side, angle in _ANGLES.items():
        quadrant = np.arange(angle - DIRECTIONS // 8, angle + DIRECTIONS // 8) % DIRECTIONS
        widths[side] = float(rim_px[quadrant].mean())
    if laterality in _NASAL:
        nasal = _NASAL[laterality]
        widths["nasal"] = widths[nasal]
        widths["temporal"] = widths["left" if nasal == "right" else "right"]
    return widths


def _radii(mask: np.ndarray, disc: np.ndarray) -> np.ndarray:
    """Distance in px from the disc's centroid to a mask's outermost pixel, by degree."""
    row, col = ndimage.center_of_mass(disc)
    longest = np.hypot(*disc.shape)
    steps = np.arange(0, longest, 0.5)  # px
    angles = np.deg2rad(np.arange(DIRECTIONS))[:, None]
    points = np.stack([row + steps * np.sin(angles), col + steps * np.cos(angles)])
    inside = ndimage.map_coordinates(mask, points, order=0, output=bool)  # False beyond the array
    radii: np.ndarray = np.where(inside, steps, 0.0).max(axis=1)
    return radii
