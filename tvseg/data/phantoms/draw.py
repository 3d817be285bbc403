"""Phantom photographs: one eye drawn as a crude fundus picture together with its true masks.

The layers are retina, atrophy beside the disc, rim, cup and vessels, and last what the camera
does: illumination, haze, blur, noise. All chance comes from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tvseg.data.phantoms.style import CentreStyle
from tvseg.data.phantoms.tissue import (
    Picture,
    Plane,
    Scene,
    paint_atrophy,
    paint_disc,
    paint_retina,
    shape_disc,
)
from tvseg.data.phantoms.vessels import Placement, draw_vessels, grow_vessels
from tvseg.errors import UserError

MAX_OFFSET = 0.15
"""Largest distance of the disc's centre from that of a region, as a share of the side."""

SMALLEST_SIDE_PX = 64
"""Below this side of a region a small cup would be a handful of pixels."""

_VEIN_ABSORBS = np.array((0.45, 1.20, 1.00), np.float32)
_ARTERY_ABSORBS = np.array((0.14, 0.90, 0.80), np.float32)


@dataclass(frozen=True)
class Phantom:
    """A drawn photograph and its true masks.

    Args:
        image: uint8 (H, W, 3), RGB.
        cup: bool (H, W), always inside the disc.
        disc: bool (H, W), cup included.
    """

    image: NDArray[np.uint8]
    cup: NDArray[np.bool_]
    disc: NDArray[np.bool_]


def _paint_vessels(
    picture: Picture,
    scene: Scene,
    *,
    cup_reach: Plane,
    style: CentreStyle,
    rng: np.random.Generator,
) -> Picture:
    """Let blood absorb light along the vessels (Beer-Lambert); deep in the cup they fade."""
    reach = float(np.hypot(scene.x, scene.y).max()) + 1.0
    branches = grow_vessels(rng, reach=reach, density=style.vessel_density)
    arteries, veins, reflex = draw_vessels(branches, scene.place, shape=scene.x.shape)
    fade = 1.0 - rng.uniform(0.1, 0.4) * np.clip(1.6 * (1.0 - cup_reach), 0.0, 1.0)
    blood = veins[..., None] * _VEIN_ABSORBS
    blood = np.maximum(blood, arteries[..., None] * _ARTERY_ABSORBS) - 0.25 * reflex[..., None]
    strength = style.vessel_contrast * rng.uniform(0.85, 1.15)
    return np.asarray(picture * np.exp(-blood * (strength * fade)[..., None]), np.float32)


def _photograph(
    picture: Picture, style: CentreStyle, rng: np.random.Generator, *, side_px: float
) -> Picture:
    """Apply illumination, haze, defocus and tone; `side_px` is the side of a region's frame."""
    height, width = picture.shape[:2]
    rows, cols = np.indices((height, width), dtype=np.float32)
    v, u = rows * 2.0 / (height - 1) - 1.0, cols * 2.0 / (width - 1) - 1.0
    angle = rng.uniform(0.0, 2.0 * np.pi)
    slope = style.gradient * rng.uniform(0.3, 1.0)
    light = 1.0 + slope * (u * np.cos(angle) + v * np.sin(angle))
    light = light * (1.0 - style.vignette * rng.uniform(0.6, 1.1) * (u * u + v * v) / 2.0)
    cast = np.exp(rng.normal(0.0, style.colour_spread, 3) * (0.3, 0.4, 0.9))
    gain = cast * np.exp(rng.normal(0.0, style.colour_spread))
    picture = picture * (light[..., None] * gain).astype(np.float32)
    glow = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)
    glow = cv2.resize(cv2.GaussianBlur(glow, (0, 0), 3.0), (width, height))
    veil = np.asarray(0.5 * glow + 0.5 * glow.mean(-1, keepdims=True), np.float32)  # half grey
    picture = picture + np.float32(style.haze * rng.uniform(0.3, 1.8)) * (veil - picture)
    sigma = rng.uniform(*style.blur) * side_px
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
    shoulder = picture / (1.0 + np.maximum(picture - 0.8, 0.0))  # highlights saturate gently
    return np.asarray(np.clip(shoulder, 0.0, 1.0) ** np.float32(style.gamma), np.float32)


def _expose(picture: Picture, style: CentreStyle, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add the sensor's noise, part of it smoothed as by a camera's compression, and digitise."""
    shape = picture.shape[:2]
    fine = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(0.6)
    grain = rng.standard_normal(shape, dtype=np.float32)
    coarse = np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.9), np.float32)[..., None]
    noisy = picture + np.float32(style.noise) * (fine + 2.0 * coarse) * np.sqrt(picture + 0.05)
    return np.asarray(np.clip(noisy * 255.0 + 0.5, 0.0, 255.0), np.uint8)


def _paint_eye(
    scene: Scene, style: CentreStyle, rng: np.random.Generator, *, side_px: float
) -> tuple[Picture, NDArray[np.bool_], NDArray[np.bool_]]:
    """Paint all layers; returns the picture before noise, the cup and the disc."""
    disc = shape_disc(scene, style, rng)
    picture = paint_retina(scene, style, rng)
    picture = paint_atrophy(picture, scene, style=style, rng=rng)
    picture = paint_disc(picture, scene, disc, style=style, rng=rng)
    picture = _paint_vessels(picture, scene, cup_reach=disc.cup_reach, style=style, rng=rng)
    picture = _photograph(picture, style, rng, side_px=side_px)
    return picture, disc.cup_reach < 1.0, disc.disc_reach < 1.0


def _check_side(side_px: int, *, least: int) -> None:
    if side_px < least:
        raise UserError(
            f"side_px must be at least {least} for the cup to be visible, "
            f"but {side_px} arrived: draw larger and shrink."
        )


def draw_roi(style: CentreStyle, rng: np.random.Generator, *, side_px: int) -> Phantom:
    """Draw a square region about the disc, of a left or a right eye.

    The disc's diameter follows the style's framing and its centre lies up to
    :data:`MAX_OFFSET` of the side off the middle.

    Args:
        style: the centre whose photograph is drawn.
        rng: source of all chance; the same state draws the same picture.
        side_px: height and width.

    Returns:
        The photograph with its masks, (side_px, side_px).

    Raises:
        ValueError: if `side_px` is below :data:`SMALLEST_SIDE_PX`.
    """
    _check_side(side_px, least=SMALLEST_SIDE_PX)
    radius_px = rng.uniform(*style.framing) * side_px / 2.0
    off, towards = MAX_OFFSET * np.sqrt(rng.uniform(0.3, 0.95)), rng.uniform(0.0, 2.0 * np.pi)
    middle = (side_px - 1) / 2.0
    centre = (
        middle + float(off * np.sin(towards)) * side_px,
        middle + float(off * np.cos(towards)) * side_px,
    )
    place = Placement(centre, radius_px, float(rng.choice((-1.0, 1.0))))
    scene = Scene.of(place, (side_px, side_px))
    picture, cup, disc = _paint_eye(scene, style, rng, side_px=side_px)
    return Phantom(_expose(picture, style, rng), cup, disc)


def draw_field(style: CentreStyle, rng: np.random.Generator, *, side_px: int) -> Phantom:
    """Draw a 45 degree photograph: a round field on black, cut off at the top and the bottom.

    The disc lies nasal of the middle, about a seventh to an eighth of the field wide.

    Args:
        style: the centre whose photograph is drawn.
        rng: source of all chance; the same state draws the same picture.
        side_px: the photograph's width; its height is 0.85 of it.

    Returns:
        The photograph with its masks, (0.85 side_px, side_px).

    Raises:
        ValueError: if `side_px` is below twice :data:`SMALLEST_SIDE_PX`.
    """
    _check_side(side_px, least=2 * SMALLEST_SIDE_PX)
    height, width = round(0.85 * side_px), side_px
    temporal = float(rng.choice((-1.0, 1.0)))
    field_px = 0.49 * width
    radius_px = field_px / rng.uniform(7.0, 8.0)
    nasal_px = rng.uniform(0.25, 0.65) * field_px
    row = (height - 1) / 2.0 - rng.uniform(-0.05, 0.12) * field_px
    col = (width - 1) / 2.0 - temporal * nasal_px
    scene = Scene.of(Placement((row, col), radius_px, temporal), (height, width))
    picture, cup, disc = _paint_eye(scene, style, rng, side_px=radius_px * 2.0 / 0.4)
    rows, cols = np.indices((height, width), dtype=np.float32)
    from_middle = np.hypot(rows - (height - 1) / 2.0, cols - (width - 1) / 2.0)
    lit = np.clip((field_px - from_middle) / (0.004 * width) + 0.5, 0.0, 1.0)
    edge_light = 1.0 - 0.35 * np.clip(from_middle / field_px, 0.0, 1.0) ** 6
    picture = picture * (lit * edge_light)[..., None].astype(np.float32)
    return Phantom(_expose(picture, style, rng), cup, disc)


def draw_retina(
    style: CentreStyle, rng: np.random.Generator, *, side_px: int, radius_px: float
) -> NDArray[np.uint8]:
    """Draw a retina without a disc, nor a black surround; its vessels come from the middle.

    Args:
        style: the centre whose photograph is drawn.
        rng: source of all chance.
        side_px: height and width.
        radius_px: the radius that the disc would have.

    Returns:
        uint8 (side_px, side_px, 3), RGB.

    Raises:
        ValueError: if `side_px` is below twice :data:`SMALLEST_SIDE_PX`.
    """
    _check_side(side_px, least=2 * SMALLEST_SIDE_PX)
    middle = (side_px - 1) / 2.0
    place = Placement((middle, middle), radius_px, float(rng.choice((-1.0, 1.0))))
    scene = Scene.of(place, (side_px, side_px))
    picture = paint_retina(scene, style, rng)
    nowhere = np.full(scene.x.shape, np.inf, np.float32)
    picture = _paint_vessels(picture, scene, cup_reach=nowhere, style=style, rng=rng)
    picture = _photograph(picture, style, rng, side_px=radius_px * 2.0 / 0.4)
    return _expose(picture, style, rng)
