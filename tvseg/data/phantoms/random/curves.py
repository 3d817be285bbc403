"""Closed curves about a centre, as tables of radii: outlines of discs, cups and atrophy."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]  # (H, W)

_DIRECTIONS = 1024
_ANGLES = np.arange(_DIRECTIONS) * (2.0 * np.pi / _DIRECTIONS)


@dataclass(frozen=True)
class Curve:
    """A curve that each ray from its centre meets once.

    Args:
        centre_xy: x (to the temporal side) and y (upwards), in disc radii.
        radii: float32 (1024,), distance from the centre in each direction, in disc radii,
            counterclockwise from the temporal side.
    """

    centre_xy: tuple[float, float]
    radii: NDArray[np.float32]

    def reach(self, x: Plane, y: Plane) -> Plane:
        """Return the distance of points from the centre as a share of the curve's.

        Args:
            x: (H, W), in disc radii.
            y: (H, W), in disc radii.

        Returns:
            (H, W): below 1 inside, above 1 outside.
        """
        dx, dy = x - np.float32(self.centre_xy[0]), y - np.float32(self.centre_xy[1])
        distance, turn = cv2.cartToPolar(dx, dy)
        column = (turn * np.float32(_DIRECTIONS / (2.0 * np.pi))).astype(np.int32)
        return np.asarray(distance / np.take(self.radii, column, mode="wrap"), np.float32)


def draw_curve(
    rng: np.random.Generator,
    *,
    centre_xy: tuple[float, float] = (0.0, 0.0),
    radius: float,
    aspect: float = 1.0,
    tilt: float = 0.0,
    irregular: float = 0.0,
) -> Curve:
    """Draw an ellipse with an irregular edge.

    Args:
        rng: Source of all chance.
        centre_xy: In disc radii.
        radius: Of the circle of the ellipse's area, in disc radii.
        aspect: Long over short axis.
        tilt: Direction of the long axis in radians, from the temporal side.
        irregular: Amplitude of the second harmonic as a share of the radius; higher ones are
            smaller.

    Returns:
        The curve.
    """
    turned = _ANGLES - tilt
    ellipse = 1.0 / np.sqrt(np.cos(turned) ** 2 / aspect + np.sin(turned) ** 2 * aspect)
    orders = np.arange(2, 9)[:, None]
    amplitudes = irregular * rng.normal(0.0, 0.7, (7, 1)) * (2.0 / orders) ** 1.4
    wave = (amplitudes * np.cos(orders * _ANGLES + rng.uniform(0.0, 2.0 * np.pi, (7, 1)))).sum(0)
    return Curve(centre_xy, (radius * ellipse * (1.0 + wave)).astype(np.float32))


def bulge(curve: Curve, towards: float, *, height: float, width: float) -> Curve:
    """Push a part of a curve outwards.

    Args:
        curve: The curve.
        towards: Direction of the part's middle, in radians.
        height: Of the bulge, as a share of the radius.
        width: Of the bulge in radians; it falls as a bell does.

    Returns:
        Another curve.
    """
    off = (_ANGLES - towards + np.pi) % (2.0 * np.pi) - np.pi
    grown = curve.radii * (1.0 + height * np.exp(-0.5 * (off / width) ** 2))
    return Curve(curve.centre_xy, grown.astype(np.float32))
