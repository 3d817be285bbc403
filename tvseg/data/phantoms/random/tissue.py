"""Tissue of random phantom photographs: retina, zones beside the disc, rim, cup and lesions.

Pictures are floating-point RGB, one plane after another. Positions are in the frame of the eye:
the unit is the disc's radius, the origin the disc's centre, x points to the temporal side and y
upwards.
"""

from __future__ import annotations

import cv2
import numpy as np

from tvseg.data.phantoms.random.curves import Plane, bulge, draw_curve
from tvseg.data.phantoms.random.style import RGB, Palette, Planes, solid
from tvseg.data.phantoms.tissue import Scene, smooth_noise
from tvseg.data.phantoms.vessels import FOVEA_XY


def blend(picture: Planes, colour: Planes, opacity: Plane) -> Planes:
    """Lay planes of any shape that broadcasts over a picture."""
    return picture + (colour - picture) * opacity


def ramp(reach: Plane, softness: float | Plane, at: float = 1.0) -> Plane:
    """Return the opacity of a filled outline: 1 inside, 0 outside, half on it, smooth."""
    t = np.clip((np.float32(at) - reach) / softness + np.float32(0.5), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)


def _fibres(scene: Scene, rng: np.random.Generator) -> Plane:
    """Draw the nerve fibre layer: fine pale rays that leave the disc, strongest at its poles."""
    rays = smooth_noise((32, 512), rng, cell_px=rng.uniform(2.0, 6.0))
    distance, turn = cv2.cartToPolar(scene.x, scene.y)
    bent = turn + np.float32(0.12) * scene.x * np.sign(scene.y)
    column = (bent * np.float32(512.0 / (2.0 * np.pi))) % np.float32(511.0)
    fan = cv2.remap(rays, column, np.minimum(distance * 3.0, 31.0), cv2.INTER_LINEAR)
    poles = (scene.y / (distance + np.float32(0.1))) ** 2
    return np.asarray(fan * poles * np.exp(-distance / 3.0), np.float32)


def paint_background(scene: Scene, palette: Palette, rng: np.random.Generator) -> Planes:
    """Paint pigment, choroidal vessels, nerve fibres and the macula.

    Returns:
        (3, H, W), the picture without the disc.
    """
    shape, radius = scene.x.shape, scene.place.radius_px
    cloud = smooth_noise(shape, rng, cell_px=rng.uniform(1.0, 4.0) * radius)
    light = cloud * np.float32(rng.uniform(0.02, 0.16))
    grain = smooth_noise(shape, rng, cell_px=max(1.5, rng.uniform(0.04, 0.12) * radius))
    light += grain * np.float32(rng.uniform(0.0, 0.05))
    if rng.random() < 0.6:  # choroidal vessels show between the pigment, in patches
        cell = rng.uniform(0.2, 0.5) * radius
        net = np.abs(smooth_noise(shape, rng, cell_px=cell))
        net = np.minimum(net, np.abs(smooth_noise(shape, rng, cell_px=0.8 * cell)))
        where = np.clip(0.4 + smooth_noise(shape, rng, cell_px=3.0 * radius), 0.0, 1.5)
        light += (np.exp(-1.8 * net) - 0.5) * where * np.float32(rng.uniform(-0.15, 0.3))
    light += _fibres(scene, rng) * np.float32(rng.uniform(0.0, 0.22))
    from_fovea = (scene.x - FOVEA_XY[0]) ** 2 + (scene.y - FOVEA_XY[1]) ** 2
    light -= np.exp(-from_fovea / rng.uniform(1.2, 4.0)) * np.float32(rng.uniform(0.1, 0.7))
    tint = np.array((rng.uniform(0.5, 1.0), 1.1, 1.2), np.float32)
    return np.asarray(solid(palette.retina) * np.exp(light * solid(tint)), np.float32)


def paint_surroundings(
    picture: Planes, scene: Scene, disc_reach: Plane, palette: Palette, rng: np.random.Generator
) -> Planes:
    """Paint what lies beside a disc: a glow or a shadow, atrophy, crescents, a pigment line.

    Args:
        picture: (3, H, W), the retina.
        scene: The canvas.
        disc_reach: (H, W), of the disc's outline.
        palette: Colours.
        rng: Source of all chance.

    Returns:
        (3, H, W); the disc is to be painted over it.
    """
    shape, radius = scene.x.shape, scene.place.radius_px
    width, strength = rng.uniform(0.15, 1.2), rng.normal(0.05, 0.14)
    glow = np.exp(-(np.maximum(disc_reach - 1.0, 0.0) / width)) * np.float32(strength)
    picture = picture * np.exp(glow)
    mottle = 0.6 * smooth_noise(shape, rng, cell_px=0.25 * radius)
    mottle += 0.6 * smooth_noise(shape, rng, cell_px=max(1.5, 0.07 * radius))
    for _ in range(int(rng.choice((0, 1, 2), p=(0.45, 0.35, 0.2)))):
        towards = rng.normal(0.0, 0.9)
        size = rng.uniform(0.9, 1.12)
        zone = draw_curve(rng, radius=size, aspect=1.08, tilt=np.pi / 2.0, irregular=0.04)
        zone = bulge(zone, towards, height=rng.gamma(1.6, 0.15), width=rng.uniform(0.3, 1.3))
        reach = zone.reach(scene.x, scene.y)
        opacity = ramp(reach, rng.uniform(0.04, 0.3)) * np.float32(rng.uniform(0.1, 0.95))
        opacity *= np.clip(0.8 + rng.uniform(0.0, 0.4) * mottle, 0.0, 1.1)
        dark = rng.random() < 0.3  # pigment, or choroid laid bare
        colour = palette.retina * np.float32(rng.uniform(0.3, 0.8)) if dark else palette.sclera
        picture = blend(picture, solid(colour), opacity)
        line = np.exp(-(((reach - 1.0) / rng.uniform(0.02, 0.08)) ** 2)) * (0.6 + 0.4 * mottle)
        side = np.clip(scene.x * np.cos(towards) + scene.y * np.sin(towards) + 0.2, 0.0, 1.0)
        line *= side * np.float32(rng.uniform(0.0, 0.6) * (rng.random() < 0.4))
        picture = picture * (1.0 - np.clip(line, 0.0, 0.9))
    return picture


def paint_disc(
    picture: Planes,
    scene: Scene,
    disc_reach: Plane,
    cup_reach: Plane,
    *,
    palette: Palette,
    rng: np.random.Generator,
) -> Planes:
    """Paint rim and cup; the cup's pallor has a sharp edge, a soft one or none.

    Args:
        picture: (3, H, W), what surrounds the disc.
        scene: The canvas.
        disc_reach: (H, W), of the disc's outline.
        cup_reach: (H, W), of the cup's outline.
        palette: Colours.
        rng: Source of all chance.

    Returns:
        (3, H, W).
    """
    shape, radius = scene.x.shape, scene.place.radius_px
    patchy = smooth_noise(shape, rng, cell_px=0.5 * radius)
    fine = smooth_noise(shape, rng, cell_px=max(1.5, 0.07 * radius))
    nasal = np.clip(-scene.x * np.cos(tip := rng.normal(0.0, 0.5)) - scene.y * np.sin(tip), -1, 1)
    rosy = np.clip(rng.uniform(-0.1, 0.35) + rng.uniform(0.0, 0.35) * nasal, 0.0, 0.7)
    shade = 1.0 + np.float32(rng.uniform(0.0, 0.08)) * patchy + np.float32(0.015) * fine
    rim = blend(solid(palette.rim), solid(palette.retina), rosy) * shade

    frayed = patchy * np.float32(rng.uniform(0.0, 0.05))
    cup_reach, disc_reach = cup_reach + 2.0 * frayed, disc_reach + np.float32(0.6) * frayed
    soft: float = rng.uniform(0.05, 0.5) if rng.random() < 0.7 else rng.uniform(0.5, 1.2)
    pallor = ramp(cup_reach, soft, rng.normal(1.0, 0.06))
    bowl = np.clip(1.0 - cup_reach, 0.0, 1.0)
    pallor *= np.float32(1.0 - (even := rng.uniform(0.0, 0.45))) + np.float32(1.6 * even) * bowl
    lit = 1.0 + np.float32(rng.uniform(-0.18, 0.25)) * bowl
    pores = smooth_noise(shape, rng, cell_px=max(1.5, rng.uniform(0.05, 0.11) * radius))
    lit *= 1.0 + np.float32(rng.uniform(0.0, 0.07)) * pores * np.sqrt(bowl)
    disc = blend(rim, solid(palette.cup) * lit, np.clip(pallor, 0.0, 1.0))
    wall = np.exp(-(((cup_reach - 1.0) / rng.uniform(0.05, 0.2)) ** 2)) * np.clip(nasal, 0.0, 1.0)
    disc = disc * (1.0 - np.float32(rng.uniform(-0.05, 0.25)) * wall)

    blurred = np.float32(rng.uniform(0.03, 0.2) if rng.random() < 0.8 else rng.uniform(0.2, 0.5))
    softness = blurred * (1.0 + np.float32(rng.uniform(0.0, 1.5)) * np.clip(nasal, 0.0, 1.0))
    picture = blend(picture, disc, ramp(disc_reach, softness))
    side = np.clip(0.4 - nasal, 0.0, 1.0)
    ring = np.exp(-(((disc_reach - rng.uniform(0.96, 1.03)) / rng.uniform(0.02, 0.05)) ** 2)) * side
    strength = np.float32(max(0.0, rng.uniform(-0.6, 0.7)))
    return blend(picture, solid(palette.sclera), ring * strength)


def _spots(
    scene: Scene, rng: np.random.Generator, *, count: int, size: float, near: float
) -> Plane:
    """Draw some ellipses, up to `size` disc radii large, within `near` of the disc's edge."""
    layer = np.zeros(scene.x.shape, np.uint8)
    radius, (row, col) = scene.place.radius_px, scene.place.centre_px
    for _ in range(count):
        turn, away = rng.uniform(0.0, 2.0 * np.pi), radius * (1.05 + near * rng.random())
        middle = (round(col + away * np.cos(turn)), round(row + away * np.sin(turn)))
        axes = np.maximum(1, np.rint(size * radius * rng.uniform(0.2, 1.0, 2))).astype(int)
        angle, value = float(np.degrees(turn)), float(rng.uniform(90.0, 255.0))
        cv2.ellipse(layer, middle, axes.tolist(), angle, 0.0, 360.0, (value,), -1, cv2.LINE_AA)
    smooth = cv2.GaussianBlur(layer, (0, 0), max(0.5, rng.uniform(0.1, 0.4) * size * radius))
    return np.asarray(smooth, np.float32) / np.float32(255.0)


def paint_lesions(
    picture: Planes, scene: Scene, palette: Palette, rng: np.random.Generator
) -> Planes:
    """Paint haemorrhages, drusen, exudates, cotton wool and scars into some pictures."""
    blood: RGB = palette.retina * np.array((0.55, 0.3, 0.35), np.float32)
    wool: RGB = palette.cup
    yellow: RGB = palette.cup * np.array((1.0, 1.0, 0.6), np.float32)
    scar: RGB = palette.retina * np.float32(0.3)
    kinds = ((blood, 6, 0.25), (wool, 3, 0.4), (yellow, 40, 0.08), (scar, 3, 0.3))
    for colour, most, size in kinds:
        if rng.random() < 0.1:
            count = int(rng.integers(1, most + 1))
            spread = rng.uniform(0.3, 4.0)
            spots = _spots(scene, rng, count=count, size=size * rng.uniform(0.4, 1), near=spread)
            picture = blend(picture, solid(colour), spots * np.float32(rng.uniform(0.3, 0.9)))
    return picture
