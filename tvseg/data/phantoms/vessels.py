"""Retinal vessels for phantom photographs: growing the tree and drawing it.

The tree grows in the frame of the eye: the unit is the disc's radius, the origin the disc's
centre, x points to the temporal side (to the macula) and y upwards. The same tree therefore
serves left and right eyes, regions about the disc and photographs of the whole field.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

FOVEA_XY = (5.0, -0.5)
"""Centre of the macula in the frame of the eye, in disc radii."""

_STEP = 0.08  # length of one step of a branch, in disc radii
_THINNEST = 0.02  # branches below this width are not drawn, in disc radii
_FOVEA_RADIUS = 0.9  # no vessel enters the fovea's avascular zone
_WIDE = 0.12  # width at which a vessel is opaque, in disc radii
_OVERSAMPLING = 2  # OpenCV's line widths are whole pixels: this makes the steps half a pixel


@dataclass(frozen=True)
class Branch:
    """One vessel between two forks, in the frame of the eye.

    Args:
        points: (N, 2), x and y of the centre line, in disc radii.
        widths: (N,), full width along the line, in disc radii.
        vein: dark and wide; an artery otherwise.
    """

    points: NDArray[np.float64]
    widths: NDArray[np.float64]
    vein: bool


@dataclass(frozen=True)
class _Bud:
    """Where a branch begins, its turn in radians and the length over which it turns, its rank."""

    xy: NDArray[np.float64]
    heading: float
    turn: float
    bend: float
    width: float
    length: float
    rank: int


def _extend(bud: _Bud, rng: np.random.Generator, *, vein: bool) -> Branch:
    """Grow one bud to a smooth, tapering line that ends before the fovea."""
    count = max(4, round(bud.length / _STEP))
    travelled = np.arange(count) * _STEP
    noise = rng.standard_normal((2, count + 120))
    sway = gaussian_filter1d(noise[0], 4.0)[60:-60] * 0.75
    drift = gaussian_filter1d(noise[1], 20.0)[60:-60] * 1.5
    wander = (sway + drift) * (1.0 - np.exp(-travelled / 0.4))
    heading = bud.heading + bud.turn * (1.0 - np.exp(-travelled / bud.bend)) + wander
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * _STEP
    points = bud.xy + np.cumsum(steps, axis=0) - steps[0]
    inside = np.hypot(*(points - np.array(FOVEA_XY)).T) < _FOVEA_RADIUS
    end = int(np.argmax(inside)) if inside.any() else count
    left = np.arange(end, 0, -1) / end  # 1 at the start, 0 at the tip
    taper = np.minimum(0.5 + 0.5 * left, 0.15 + 3.0 * left)
    emerging = np.minimum(1.0, 0.4 + 2.0 * travelled[:end])  # from the depth, or from its parent
    return Branch(points[:end], bud.width * taper * emerging, vein)


def _fork(branch: Branch, bud: _Bud, rng: np.random.Generator, *, density: float) -> list[_Bud]:
    """Choose where a branch sends off side branches, and how these begin."""
    count = len(branch.points)
    buds = []
    for at in rng.uniform(0.05, 0.9, rng.poisson(density * count * _STEP * 0.7**bud.rank)):
        i = min(int(at * count), count - 2)
        dx, dy = branch.points[i + 1] - branch.points[i]
        side = float(rng.choice((-1.0, 1.0)))
        width = float(branch.widths[i]) * rng.uniform(0.4, 0.8)
        angle, back = np.radians(rng.uniform(25.0, 70.0)), rng.uniform(0.2, 0.9)
        reach = rng.uniform(0.3, 0.8) * bud.length * (1.0 - 0.6 * at)
        if width < _THINNEST or np.hypot(*branch.points[i]) < 0.8:
            continue
        heading = float(np.arctan2(dy, dx)) + side * angle
        turn = -side * angle * back  # bends back along its parent
        buds.append(_Bud(branch.points[i], heading, turn, 1.2, width, reach, bud.rank + 1))
    return buds


def _trunks(rng: np.random.Generator, *, reach: float, density: float) -> list[tuple[_Bud, bool]]:
    """Lay out the arcades, one artery and one vein per quadrant, and the small vessels."""
    root = np.array((rng.uniform(-0.35, -0.05), rng.uniform(-0.1, 0.1)))
    trunks = []
    for vein, vertical, temporal in product((False, True), (1.0, -1.0), (True, False)):
        angle = rng.normal(84.0, 9.0) if temporal else rng.normal(100.0, 12.0)
        turn = -rng.uniform(1.0, 1.5) if temporal else rng.uniform(0.1, 1.0)
        width = rng.uniform(0.12, 0.17) if vein else rng.uniform(0.08, 0.115)
        width *= 1.0 if temporal else rng.uniform(0.55, 0.95)
        start = root + rng.normal(0.0, (0.09, 0.04)) - (0.0, vertical * rng.uniform(0.0, 0.1))
        heading, bend = vertical * np.radians(angle), rng.uniform(1.8, 3.8)
        bud = _Bud(start, heading, vertical * turn, bend, width, reach, 0)
        trunks.append((bud, vein))
    for _ in range(2 + rng.poisson(5.0 * density)):
        towards = float(rng.choice((0.0, 180.0))) + rng.normal(0.0, 25.0)
        start = root + rng.normal(0.0, 0.1, 2)
        width, length = rng.uniform(0.03, 0.065), rng.uniform(2.0, 4.5)
        bud = _Bud(start, np.radians(towards), rng.uniform(-0.5, 0.5), 2.0, width, length, 2)
        trunks.append((bud, bool(rng.random() < 0.5)))
    return trunks


def grow_vessels(rng: np.random.Generator, *, reach: float, density: float) -> list[Branch]:
    """Grow the arteries and veins of one eye, leaving from within the disc.

    Args:
        rng: source of all chance.
        reach: length of the main vessels, in disc radii.
        density: side branches per disc radius of vessel; 0.3 is sparse, 0.8 dense.

    Returns:
        The branches, thinnest first, so that drawing in order leaves the wide ones on top.
    """
    branches = []
    for trunk, vein in _trunks(rng, reach=reach, density=density):
        buds = [trunk]
        while buds:
            bud = buds.pop()
            branch = _extend(bud, rng, vein=vein)
            if len(branch.points) < 4:
                continue
            branches.append(branch)
            if bud.rank < 3:
                buds += _fork(branch, bud, rng, density=density)
    return sorted(branches, key=lambda branch: float(branch.widths[0]))


@dataclass(frozen=True)
class Placement:
    """Where the eye lies in the photograph.

    Args:
        centre_px: (row, col) of the disc's centre.
        radius_px: the disc's radius.
        temporal: +1 where the temporal side is to the right, -1 where to the left.
    """

    centre_px: tuple[float, float]
    radius_px: float
    temporal: float

    def to_pixels(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map (N, 2) points x, y of the eye's frame to (N, 2) columns and rows, in pixels."""
        row, col = self.centre_px
        return np.array((col, row)) + self.radius_px * xy * (self.temporal, -1.0)


def _draw_branch(
    canvas: NDArray[np.uint8], branch: Branch, place: Placement, *, share: float, faint: float
) -> None:
    """Draw one tapering line onto the oversampled canvas, in place; thin lines are fainter.

    Args:
        canvas: oversampled opacity, changed in place.
        branch: the vessel.
        place: where the eye lies.
        share: drawn part of the width (a part only for the reflex along an artery).
        faint: opacity of the thinnest lines; wide ones have 1.
    """
    widths_px = branch.widths * place.radius_px * share
    whole = np.maximum(1, np.rint(widths_px * _OVERSAMPLING)).astype(int)
    corners = (place.to_pixels(branch.points) + 0.5) * _OVERSAMPLING - 0.5
    fixed = np.rint(corners * 16.0).astype(np.int32)  # OpenCV reads 4 fractional bits
    ends = [0, *(np.flatnonzero(np.diff(whole)) + 1).tolist(), len(whole) - 1]
    for first, last in pairwise(ends):
        opacity = min(1.0, faint + (1.0 - faint) * float(branch.widths[first]) / _WIDE)
        run = [fixed[first : last + 1]]
        colour, thick = (255.0 * max(0.0, opacity),), int(whole[first])
        cv2.polylines(canvas, run, False, colour, thick, lineType=cv2.LINE_AA, shift=4)


def draw_vessels(
    branches: list[Branch], place: Placement, *, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Draw the vessels, antialiased, with the soft profile of a filled tube.

    Args:
        branches: as grown by :func:`grow_vessels`.
        place: where the eye lies in the photograph.
        shape: (H, W) of the photograph, in pixels.

    Returns:
        Opacity in 0..1 of the arteries, the veins, and the bright reflex along the arteries,
        each (H, W).
    """
    height, width = shape
    layers = []
    for vein, share, faint in ((False, 1.0, 0.3), (True, 1.0, 0.3), (False, 0.3, -0.3)):
        canvas = np.zeros((height * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
        for branch in branches:
            if branch.vein == vein:
                _draw_branch(canvas, branch, place, share=share, faint=faint)
        small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small.astype(np.float32) / 255.0, (0, 0), 0.015 * place.radius_px)
        layers.append(np.asarray(soft, np.float32))
    return layers[0], layers[1], layers[2]
