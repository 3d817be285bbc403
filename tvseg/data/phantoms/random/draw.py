"""Phantom photographs of a random style each, drawn to train networks for real ones.

Nothing is common to two pictures: framing, shapes, colours, vessels, lesions and camera are all
drawn afresh from the generator that is passed in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvseg.data.phantoms.draw import Phantom
from tvseg.data.phantoms.random.camera import defocus, develop, expose, illuminate
from tvseg.data.phantoms.random.curves import Plane
from tvseg.data.phantoms.random.style import (
    CUP_REACH_MAX,
    FRAMING,
    Planes,
    draw_disc_shape,
    draw_palette,
)
from tvseg.data.phantoms.random.tissue import (
    paint_background,
    paint_disc,
    paint_lesions,
    paint_surroundings,
)
from tvseg.data.phantoms.random.vessels import paint_vessels
from tvseg.data.phantoms.tissue import Scene
from tvseg.data.phantoms.vessels import Placement

FIELD_ASPECT = (0.66, 1.0)
"""Height over width of a full photograph."""


def _paint_eye(
    scene: Scene, rng: np.random.Generator
) -> tuple[Planes, NDArray[np.bool_], NDArray[np.bool_]]:
    """Paint all layers of an eye; returns the picture before the camera, the cup and the disc."""
    palette, shape = draw_palette(rng), draw_disc_shape(rng)
    disc_reach = shape.disc.reach(scene.x, scene.y)
    cup_reach = np.maximum(shape.cup.reach(scene.x, scene.y), disc_reach / CUP_REACH_MAX)
    picture = paint_background(scene, palette, rng)
    picture = paint_surroundings(picture, scene, disc_reach, palette, rng)
    picture = paint_disc(picture, scene, disc_reach, cup_reach, palette=palette, rng=rng)
    picture = paint_lesions(picture, scene, palette, rng)
    picture = paint_vessels(picture, scene, shape, cup_reach=cup_reach, palette=palette, rng=rng)
    return picture, cup_reach < 1.0, disc_reach < 1.0


def draw_random_roi(rng: np.random.Generator, *, side_px: int) -> Phantom:
    """Draw a square region about the disc, in a random style.

    Args:
        rng: Source of all chance; the same state draws the same picture.
        side_px: Height and width.

    Returns:
        The photograph with its masks, (side_px, side_px).
    """
    framing = float(rng.uniform(*FRAMING))
    slack = max(0.02, 0.5 * (1.0 - framing)) * rng.uniform(0.0, 0.9) ** 1.5
    turn = rng.uniform(0.0, 2.0 * np.pi)
    middle = (side_px - 1) / 2.0
    row, col = (middle + side_px * slack * part(turn) for part in (np.sin, np.cos))
    place = Placement((float(row), float(col)), framing * side_px / 2.0, float(rng.choice((-1, 1))))
    scene = Scene.of(place, (side_px, side_px))
    picture, cup, disc = _paint_eye(scene, rng)
    picture = illuminate(picture, rng)
    if rng.random() < 0.08:  # the edge of the photograph's field crosses the region
        picture = picture * _edge_of_field(place, (side_px, side_px), rng)
    picture = develop(defocus(picture, rng, side_px=side_px), rng)
    return Phantom(expose(picture, rng), cup, disc)


def _edge_of_field(place: Placement, shape: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Return 1 in a large circle whose edge passes beside the disc, 0 outside."""
    field_px = rng.uniform(5.0, 9.0) * place.radius_px
    turn = rng.uniform(0.0, 2.0 * np.pi)
    away = field_px - rng.uniform(1.05, 2.5) * place.radius_px
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    row, col = place.centre_px[0] + away * np.sin(turn), place.centre_px[1] + away * np.cos(turn)
    off = np.hypot(rows - row, cols - col)
    return np.asarray(np.clip((field_px - off) / 1.5, 0.0, 1.0), np.float32)


def draw_random_field(rng: np.random.Generator, *, side_px: int, with_disc: bool = True) -> Phantom:
    """Draw a full photograph in a random style: a lit field on black.

    Args:
        rng: Source of all chance.
        side_px: Width; the height is a share of it in :data:`FIELD_ASPECT`.
        with_disc: False puts the disc outside the field, and its mask is empty.

    Returns:
        The photograph with its masks.
    """
    height, width = round(side_px * rng.uniform(*FIELD_ASPECT)), side_px
    field_px = min(rng.uniform(0.44, 0.5) * width, rng.uniform(0.47, 0.62) * height)
    radius_px = field_px * rng.uniform(0.1, 0.2)
    temporal = float(rng.choice((-1.0, 1.0)))
    away = field_px * (rng.uniform(0.0, 0.85) if with_disc else rng.uniform(1.3, 1.6))
    turn = rng.normal(0.0, 0.35)
    row = height / 2.0 - away * np.sin(turn)
    col = width / 2.0 - temporal * away * np.cos(turn)
    scene = Scene.of(Placement((float(row), float(col)), radius_px, temporal), (height, width))
    picture, cup, disc = _paint_eye(scene, rng)
    picture = illuminate(picture, rng)
    rows, cols = np.ogrid[:height, :width]
    away_px = np.hypot(rows - height / 2.0, cols - width / 2.0)
    lit = np.clip((field_px - away_px) / rng.uniform(1.0, 4.0), 0.0, 1.0).astype(np.float32)
    dark = rng.uniform(0.0, 0.7) * np.clip(away_px / field_px, 0.0, 1.0) ** 5
    picture = picture * (lit * (1.0 - dark)).astype(np.float32)
    picture = develop(defocus(picture, rng, side_px=5.0 * radius_px), rng)
    visible = lit > 0.5
    return Phantom(expose(picture, rng), cup & visible, disc & visible)
