"""Vessels of random phantom photographs: trunks that leave the cup and bend at its edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tvseg.data.phantoms.curves import Plane
from tvseg.data.phantoms.random_style import DiscShape, Palette
from tvseg.data.phantoms.random_tissue import Planes, solid
from tvseg.data.phantoms.tissue import Scene
from tvseg.data.phantoms.vessels import Branch, Bud, draw_vessels, grow_buds

Points = NDArray[np.float64]  # (N, 2), x and y, in disc radii


def _trunks(
    rng: np.random.Generator, root: Points, *, reach: float, width: float
) -> list[tuple[Bud, bool]]:
    """Lay out the arcades and the small vessels about a root in the disc."""
    trunks = []
    for vertical in (1.0, -1.0):
        for vein in (False, True):
            for _ in range(1 + int(rng.random() < 0.65)):
                angle = rng.normal(92.0, 22.0)
                turn = rng.normal(-0.9 if angle < 95.0 else 0.5, 0.5)
                wide = rng.uniform(0.09, 0.18) if vein else rng.uniform(0.06, 0.13)
                start = root + rng.normal(0.0, (0.1, 0.08)) - (0.0, vertical * 0.1 * rng.random())
                heading, bend = vertical * np.radians(angle), rng.uniform(0.8, 3.8)
                bud = Bud(start, heading, vertical * turn, bend, width * wide, reach, 0)
                trunks.append((bud, vein))
    for _ in range(int(rng.integers(3, 15))):
        towards = float(rng.choice((0.0, 180.0), p=(0.65, 0.35))) + rng.normal(0.0, 40.0)
        start = root + rng.normal(0.0, 0.15, 2)
        wide, length = rng.uniform(0.02, 0.07), rng.uniform(1.0, 4.5)
        heading, turn = np.radians(towards), rng.normal(0.0, 0.5)
        bud = Bud(start, heading, turn, rng.uniform(0.6, 2.0), width * wide, length, 2)
        trunks.append((bud, bool(rng.random() < 0.5)))
    return trunks


def _sink(branch: Branch, shape: DiscShape, *, shift: Points, squeeze: float) -> Branch:
    """Move what runs over the cup as if seen deep in it, so that vessels bend at its edge."""
    middle = np.array(shape.cup.centre_xy)
    x, y = (np.asarray(part, np.float32)[:, None] for part in branch.points.T)
    depth = np.clip((1.0 - shape.cup.reach(x, y)) / 0.25 + 0.4, 0.0, 1.0)
    inwards = (middle - branch.points) * squeeze
    return replace(branch, points=branch.points + depth * (shift + inwards))


def _around_cup(shape: DiscShape, rng: np.random.Generator, *, width: float) -> Branch:
    """Draw a vessel that follows the cup's edge for a while and leaves outwards."""
    start, span = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.6, 2.0) * rng.choice((-1.0, 1.0))
    along = np.linspace(0.0, 1.0, 40)
    turn = (start + span * along) % (2.0 * np.pi)
    edge = shape.cup.radii[(turn * len(shape.cup.radii) / (2.0 * np.pi)).astype(int) - 1]
    away = edge * rng.uniform(0.92, 1.04) + np.clip(along - 0.6, 0.0, 1.0) ** 2 * 5.0
    points = np.array(shape.cup.centre_xy) + away[:, None] * np.stack(
        [np.cos(turn), np.sin(turn)], axis=1
    )
    widths = width * rng.uniform(0.03, 0.07) * np.linspace(1.0, 0.7, 40)
    return Branch(points, widths, bool(rng.random() < 0.5))


def paint_vessels(
    picture: Planes,
    scene: Scene,
    shape: DiscShape,
    *,
    cup_reach: Plane,
    palette: Palette,
    rng: np.random.Generator,
) -> Planes:
    """Grow a tree of vessels and let its blood absorb light.

    Args:
        picture: (3, H, W), all tissue.
        scene: The canvas.
        shape: Outlines of disc and cup; vessels leave at the nasal part of the cup.
        cup_reach: (H, W), of the cup's outline.
        palette: Absorption of the blood.
        rng: Source of all chance.

    Returns:
        (3, H, W).
    """
    reach = float(np.hypot(scene.x, scene.y).max()) + 1.0
    width = rng.uniform(0.7, 1.25)
    nasal = rng.uniform(-0.3, 0.9) * min(shape.ratio, 0.7) + rng.uniform(0.0, 0.15)
    root = np.array(shape.cup.centre_xy) - np.array((nasal, rng.normal(0.0, 0.1)))
    density = rng.uniform(0.15, 0.9)
    trunks = _trunks(rng, root, reach=reach, width=width)
    branches = grow_buds(trunks, rng, density=density, wander=rng.uniform(0.5, 2.0))
    shift = rng.normal(0.0, 0.14, 2) * shape.ratio
    squeeze = rng.uniform(0.0, 0.25)
    branches = [_sink(branch, shape, shift=shift, squeeze=squeeze) for branch in branches]
    if rng.random() < 0.35:
        branches.append(_around_cup(shape, rng, width=width))
    arteries, veins, reflex = draw_vessels(branches, scene.place, shape=scene.x.shape)
    deep = np.clip(1.6 * (1.0 - cup_reach), 0.0, 1.0)
    fade = rng.uniform(0.6, 1.2) * (1.0 - np.float32(rng.uniform(0.0, 0.6)) * deep)
    blood = np.maximum(veins * solid(palette.vein), arteries * solid(palette.artery))
    blood -= np.float32(rng.uniform(0.0, 0.45)) * reflex
    return np.asarray(picture * np.exp(-blood * fade), np.float32)
