"""Vessels of random phantom photographs: trunks that leave the cup and bend at its edge."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from tvseg.data.phantoms.random.curves import Plane
from tvseg.data.phantoms.random.style import DiscShape, Palette, Planes, solid
from tvseg.data.phantoms.tissue import Scene
from tvseg.data.phantoms.vessels import FOVEA_XY

_STEP = 0.1  # length of one step of a vessel, in disc radii
_KNOTS = 0.8  # a vessel may turn anew so often, in disc radii
_THINNEST = 0.02  # in disc radii
_OPAQUE = 0.12  # vessels of this width are opaque, in disc radii
_FOVEA_RADIUS = 0.9  # no vessel comes so near to the fovea, in disc radii
_OVERSAMPLING = 2  # OpenCV's line widths are whole pixels


@dataclass(frozen=True)
class Line:
    """One vessel: its centre line (N, 2), its width where it begins, and whether it is a vein."""

    points: NDArray[np.float64]
    width: float
    vein: bool


@dataclass(frozen=True)
class Vessels:
    """Some vessels, one a row; positions and widths in disc radii, directions in radians.

    Args:
        xy: (V, 2), where each begins.
        heading: (V,), in which direction.
        turn: (V,), by how much it turns in the end.
        bend: (V,), over which length it turns.
        width: (V,), where it begins.
        length: (V,).
        vein: bool (V,); arteries otherwise.
    """

    xy: NDArray[np.float64]
    heading: NDArray[np.float64]
    turn: NDArray[np.float64]
    bend: NDArray[np.float64]
    width: NDArray[np.float64]
    length: NDArray[np.float64]
    vein: NDArray[np.bool_]


def _trunks(
    rng: np.random.Generator, root: NDArray[np.float64], *, reach: float, width: float
) -> Vessels:
    """Lay out the arcades, up and down, and the small vessels about a root in the disc."""
    large = int(rng.integers(4, 9))
    small = int(rng.integers(3, 15))
    upwards = np.where(np.arange(large) % 2, 1.0, -1.0)
    vein = np.arange(large) // 2 % 2 == 0
    angle = rng.normal(92.0, 22.0, large)
    turn = np.where(angle < 95.0, -0.9, 0.5) + rng.normal(0.0, 0.5, large)
    wide = np.where(vein, rng.uniform(0.09, 0.18, large), rng.uniform(0.06, 0.13, large))
    start = root + rng.normal(0.0, (0.1, 0.08), (large, 2))
    start[:, 1] -= upwards * 0.1 * rng.random(large)
    sides = np.where(rng.random(small) < 0.65, 0.0, 180.0) + rng.normal(0.0, 40.0, small)
    return Vessels(
        xy=np.concatenate([start, root + rng.normal(0.0, 0.15, (small, 2))]),
        heading=np.concatenate([upwards * np.radians(angle), np.radians(sides)]),
        turn=np.concatenate([upwards * turn, rng.normal(0.0, 0.5, small)]),
        bend=np.concatenate([rng.uniform(0.8, 3.8, large), rng.uniform(0.6, 2.0, small)]),
        width=width * np.concatenate([wide, rng.uniform(0.02, 0.07, small)]),
        length=np.concatenate([np.full(large, reach), rng.uniform(1.0, 4.5, small)]),
        vein=np.concatenate([vein, rng.random(small) < 0.5]),
    )


def _grow(vessels: Vessels, rng: np.random.Generator, *, wander: float) -> NDArray[np.float64]:
    """Return the centre lines (V, N, 2) of vessels that turn as they do and a little by chance."""
    count = max(4, round(float(vessels.length.max()) / _STEP))
    travelled = np.arange(count) * _STEP
    knots = np.arange(0.0, travelled[-1] + 2.0 * _KNOTS, _KNOTS)
    basis = np.maximum(0.0, 1.0 - np.abs(travelled[None] - knots[:, None]) / _KNOTS)
    steps = rng.standard_normal((len(vessels.xy), len(knots)))
    turns = (0.22 * np.cumsum(steps, axis=1) + 0.25 * steps) @ basis
    turns = wander * turns * (1.0 - np.exp(-travelled / 0.4))
    bent = vessels.turn[:, None] * (1.0 - np.exp(-travelled / vessels.bend[:, None]))
    heading = vessels.heading[:, None] + bent + turns
    moves = np.stack([np.cos(heading), np.sin(heading)], axis=-1) * _STEP
    return np.asarray(vessels.xy[:, None] + np.cumsum(moves, axis=1) - moves[:, :1])


def _branches(
    parents: Vessels, lines: NDArray[np.float64], rng: np.random.Generator, *, density: float
) -> Vessels:
    """Choose where side branches leave their parents outside the disc's middle."""
    picked = rng.poisson(density * parents.length)
    parent = np.repeat(np.arange(len(picked)), picked)
    at = rng.uniform(0.05, 0.9, len(parent))
    index = (at * parents.length[parent] / _STEP).astype(int).clip(0, lines.shape[1] - 2)
    xy, ahead = lines[parent, index], lines[parent, index + 1]
    side = np.where(rng.random(len(parent)) < 0.5, -1.0, 1.0)
    angle = np.radians(rng.uniform(25.0, 70.0, len(parent)))
    width = parents.width[parent] * (1.0 - 0.5 * at) * rng.uniform(0.4, 0.8, len(parent))
    kept = (width > _THINNEST) & (np.hypot(*xy.T) > 0.8)
    dx, dy = (ahead - xy).T
    every = Vessels(
        xy=xy,
        heading=np.arctan2(dy, dx) + side * angle,
        turn=-side * angle * rng.uniform(0.2, 0.9, len(parent)),
        bend=np.full(len(parent), 1.2),
        width=width,
        length=rng.uniform(0.3, 0.8, len(parent)) * parents.length[parent] * (1.0 - 0.6 * at),
        vein=parents.vein[parent],
    )
    return Vessels(*(getattr(every, field.name)[kept] for field in fields(every)))


def _sunken(
    lines: NDArray[np.float64],
    shape: DiscShape,
    *,
    shift: NDArray[np.float64],
    squeeze: float,
) -> NDArray[np.float64]:
    """Move what runs over the cup as if seen deep in it, so that vessels bend at its edge."""
    x, y = (np.ascontiguousarray(lines[..., axis], np.float32) for axis in (0, 1))
    depth = np.clip((1.0 - shape.cup.reach(x, y)) / 0.25 + 0.4, 0.0, 1.0)[..., None]
    inwards = (np.array(shape.cup.centre_xy) - lines) * squeeze
    return np.asarray(lines + depth * (shift + inwards))


def _around_cup(shape: DiscShape, rng: np.random.Generator) -> Line:
    """Draw a vessel that follows the cup's edge for a while and leaves outwards."""
    start, span = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.6, 2.0) * rng.choice((-1.0, 1.0))
    along = np.linspace(0.0, 1.0, 40)
    turn = (start + span * along) % (2.0 * np.pi)
    edge = shape.cup.radii[(turn * len(shape.cup.radii) / (2.0 * np.pi)).astype(int) - 1]
    away = edge * rng.uniform(0.92, 1.04) + np.clip(along - 0.6, 0.0, 1.0) ** 2 * 5.0
    points = away[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points += np.array(shape.cup.centre_xy)
    return Line(points, rng.uniform(0.02, 0.08), bool(rng.random() < 0.5))


def _tree(shape: DiscShape, rng: np.random.Generator, *, reach: float) -> list[Line]:
    """Grow all vessels of an eye, thinnest first."""
    width, wander, density = rng.uniform(0.65, 1.15), rng.uniform(0.5, 2.0), rng.uniform(0.15, 0.9)
    nasal = rng.uniform(-0.3, 0.9) * min(shape.ratio, 0.7) + rng.uniform(0.0, 0.15)
    root = np.array(shape.cup.centre_xy) - np.array((nasal, rng.normal(0.0, 0.1)))
    shift, squeeze = rng.normal(0.0, 0.14, 2) * shape.ratio, rng.uniform(0.0, 0.25)
    grown = _trunks(rng, root, reach=reach, width=width)
    tree = [_around_cup(shape, rng)] if rng.random() < 0.35 else []
    for rank in range(3):
        lines = _grow(grown, rng, wander=wander)
        seen = _sunken(lines, shape, shift=shift, squeeze=squeeze)
        near = np.hypot(*(lines - np.array(FOVEA_XY)).T).T < _FOVEA_RADIUS
        counts = np.where(near.any(axis=1), near.argmax(axis=1), lines.shape[1])
        counts = np.minimum(counts, np.maximum(4, grown.length / _STEP)).astype(int)
        tree += [
            Line(points[:count], float(wide), bool(vein))
            for points, count, wide, vein in zip(seen, counts, grown.width, grown.vein, strict=True)
        ]
        grown = _branches(grown, lines, rng, density=density * 0.7**rank)
        if not len(grown.xy):
            break
    return sorted(tree, key=lambda line: line.width)


def _draw(tree: list[Line], scene: Scene) -> tuple[Plane, Plane, Plane]:
    """Draw vessels; returns opacities of arteries, veins and the reflex along wide arteries."""
    height, width = scene.x.shape
    canvases = np.zeros((3, height * _OVERSAMPLING, width * _OVERSAMPLING), np.uint8)
    scale = scene.place.radius_px * _OVERSAMPLING
    for line in tree:
        corners = (scene.place.to_pixels(line.points) + 0.5) * _OVERSAMPLING - 0.5
        fixed = np.rint(corners * 16.0).astype(np.int32)  # OpenCV reads 4 fractional bits
        count = len(fixed)
        for begin, end, share in ((0.0, 0.3, 1.0), (0.3, 0.65, 0.8), (0.65, 1.0, 0.55)):
            piece = [fixed[int(begin * count) : int(end * count) + 1]]
            wide = line.width * share
            colour = (255.0 * min(1.0, 0.3 + 0.7 * wide / _OPAQUE),)
            thick = max(1, round(wide * scale))
            cv2.polylines(canvases[int(line.vein)], piece, False, colour, thick, cv2.LINE_AA, 4)
            if not line.vein and (bright := 255.0 * (1.3 * wide / _OPAQUE - 0.3)) > 0.0:
                thin = max(1, round(0.3 * wide * scale))
                cv2.polylines(
                    canvases[2], piece, False, (min(255.0, bright),), thin, cv2.LINE_AA, 4
                )
    sigma = 0.015 * scene.place.radius_px
    small = (cv2.resize(c, (width, height), interpolation=cv2.INTER_AREA) for c in canvases)
    arteries, veins, reflex = (
        np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32) / np.float32(255.0)
        for plane in small
    )
    return arteries, veins, reflex


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
    arteries, veins, reflex = _draw(_tree(shape, rng, reach=reach), scene)
    deep = np.clip(1.6 * (1.0 - cup_reach), 0.0, 1.0)
    fade = rng.uniform(0.6, 1.2) * (1.0 - np.float32(rng.uniform(0.0, 0.6)) * deep)
    blood = np.maximum(veins * solid(palette.vein), arteries * solid(palette.artery))
    blood -= np.float32(rng.uniform(0.0, 0.45)) * reflex
    return np.asarray(picture * np.exp(-blood * fade), np.float32)
