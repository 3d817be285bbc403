"""The tissue of phantom photographs: retina, atrophy, rim and cup, painted in layers.

Pictures are linear floating-point RGB. Positions are given in the frame of the eye: the unit is
the disc's radius, the origin the disc's centre, x points to the temporal side and y upwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tvseg.data.phantoms.style import CentreStyle
from tvseg.data.phantoms.vessels import FOVEA_XY, Placement

Plane = NDArray[np.float32]  # (H, W)
Picture = NDArray[np.float32]  # (H, W, 3), RGB, 0..1 before the camera clips


@dataclass(frozen=True)
class Scene:
    """The canvas: where every pixel lies in the frame of the eye.

    Args:
        x: (H, W), towards the temporal side, in disc radii.
        y: (H, W), upwards, in disc radii.
        place: where the eye lies in the photograph.
    """

    x: Plane
    y: Plane
    place: Placement

    @classmethod
    def of(cls, place: Placement, shape: tuple[int, int]) -> Scene:
        """Lay out a canvas of shape (H, W) about a placed eye."""
        rows, cols = np.indices(shape, dtype=np.float32)
        row, col = place.centre_px
        x = (cols - col) * place.temporal / place.radius_px
        y = (row - rows) / place.radius_px
        return cls(x.astype(np.float32), y.astype(np.float32), place)


@dataclass(frozen=True)
class Outline:
    """A closed curve: an ellipse whose radius varies with a few harmonics of the angle.

    Args:
        centre_xy: in the frame of the eye.
        radius: that of the circle of equal area, in disc radii.
        upright: vertical over horizontal axis.
        harmonics: (N, 3), order, amplitude as a share of the radius, and phase.
    """

    centre_xy: tuple[float, float]
    radius: float
    upright: float
    harmonics: NDArray[np.float64]

    def reach(self, scene: Scene) -> Plane:
        """Distance from the centre as a share of the outline's in that direction, (H, W)."""
        stretch = np.float32(np.sqrt(self.upright))
        dx = (scene.x - np.float32(self.centre_xy[0])) * stretch
        dy = (scene.y - np.float32(self.centre_xy[1])) / stretch
        turn = np.linspace(-np.pi, np.pi, 721)
        order, amplitude, phase = self.harmonics.T[:, :, None]
        wave = 1.0 + (amplitude * np.cos(order * turn + phase)).sum(0)
        edge = np.interp(np.arctan2(dy, dx), turn, wave * self.radius)
        return np.asarray(np.hypot(dx, dy) / edge, np.float32)


def draw_outline(
    rng: np.random.Generator,
    *,
    centre_xy: tuple[float, float],
    radius: float,
    upright: float,
    irregular: float,
) -> Outline:
    """Draw an irregular outline.

    Args:
        rng: source of all chance.
        centre_xy: in the frame of the eye.
        radius: that of the circle of equal area, in disc radii.
        upright: vertical over horizontal axis.
        irregular: amplitude of the second harmonic as a share of the radius; higher ones fall.

    Returns:
        The outline.
    """
    orders = np.arange(2, 7)
    amplitudes = irregular * rng.uniform(0.2, 1.0, 5) * (2.0 / orders) ** 1.6
    phases = rng.uniform(0.0, 2.0 * np.pi, 5)
    harmonics = np.stack([orders, amplitudes, phases], axis=1)
    return Outline(centre_xy, radius, upright, harmonics)


def smooth_noise(shape: tuple[int, int], rng: np.random.Generator, *, cell_px: float) -> Plane:
    """Draw noise of about unit variance whose bumps are `cell_px` wide, of shape (H, W)."""
    height, width = shape
    cells = tuple(max(4, round(length / cell_px) + 2) for length in shape)
    grid = rng.standard_normal(cells, dtype=np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def edge(reach: Plane, softness: float | Plane) -> Plane:
    """Opacity of a filled outline: 1 inside, 0 outside, half on the outline."""
    steps = np.clip((reach - 1.0) * 4.0 / softness, -30.0, 30.0)
    return np.asarray(1.0 / (1.0 + np.exp(steps)), np.float32)


def blend(picture: Picture, colour: NDArray[np.float32], opacity: Plane) -> Picture:
    """Lay a colour (3,) or a picture (H, W, 3) over a picture."""
    return picture + (colour - picture) * opacity[..., None]


def _streaks(scene: Scene, rng: np.random.Generator) -> Plane:
    """Nerve fibre layer: fine pale rays that leave the disc upwards and downwards."""
    rays = smooth_noise((64, 720), rng, cell_px=4.0)
    angle, distance = np.arctan2(scene.y, scene.x), np.hypot(scene.x, scene.y)
    bent = angle + 0.12 * distance * np.cos(angle) * np.sign(scene.y)
    column = ((bent / (2.0 * np.pi)) % 1.0 * 719.0).astype(np.float32)
    row = np.minimum(distance * 3.0, 63.0).astype(np.float32)
    fan = cv2.remap(rays, column, row, cv2.INTER_LINEAR)
    return np.asarray(fan * np.sin(angle) ** 2 * np.exp(-distance / 3.0), np.float32)


def paint_retina(scene: Scene, style: CentreStyle, rng: np.random.Generator) -> Picture:
    """Paint the background: pigment, choroidal vessels, nerve fibres and the macula.

    Args:
        scene: the canvas.
        style: the centre's colours and strength of texture.
        rng: source of all chance.

    Returns:
        (H, W, 3), the picture without the disc.
    """
    shape, radius = scene.x.shape, scene.place.radius_px
    strength = style.texture * rng.uniform(0.4, 1.4)
    cloud = smooth_noise(shape, rng, cell_px=3.0 * radius) * 0.10
    cloud += smooth_noise(shape, rng, cell_px=0.9 * radius) * 0.05 * strength
    grain = smooth_noise(shape, rng, cell_px=0.09 * radius) * 0.020 * strength
    net = np.abs(smooth_noise(shape, rng, cell_px=0.35 * radius))
    net = np.minimum(net, np.abs(smooth_noise(shape, rng, cell_px=0.28 * radius)))
    where = np.clip(0.3 + smooth_noise(shape, rng, cell_px=3.0 * radius), 0.0, 1.5)
    ridges = (np.exp(-2.0 * net) - 0.6) * where  # net of choroidal vessels, in patches
    light = cloud + grain + ridges * 0.14 * strength + _streaks(scene, rng) * 0.06
    from_fovea = np.hypot(scene.x - FOVEA_XY[0], scene.y - FOVEA_XY[1])
    macula = np.exp(-((from_fovea / 1.5) ** 2)) * 0.45 + np.exp(-((from_fovea / 0.5) ** 2)) * 0.3
    tint = np.array((0.75, 1.1, 1.2), np.float32)  # pigment takes more from green and blue
    pigment = float(np.clip(rng.normal(0.05, 0.15), -0.15, 0.4))  # of this eye, not of its disc
    lights = (light - macula - pigment)[..., None] * tint
    return np.asarray(np.array(style.retina, np.float32) * np.exp(lights), np.float32)


def paint_atrophy(
    picture: Picture, scene: Scene, *, style: CentreStyle, rng: np.random.Generator
) -> Picture:
    """Paint a pale, mottled crescent beside the disc, a pigment line outside it, or neither.

    Args:
        picture: (H, W, 3), the retina.
        scene: the canvas.
        style: the centre's share of images with atrophy.
        rng: source of all chance.

    Returns:
        (H, W, 3); the disc is to be painted over it.
    """
    present = rng.random() < style.atrophy_share
    towards, shift = rng.normal(-0.3, 0.5), rng.uniform(0.15, 0.4)
    centre = (shift * float(np.cos(towards)), shift * float(np.sin(towards)))
    size, upright = rng.uniform(1.0, 1.15), rng.uniform(1.0, 1.2)
    zone = draw_outline(rng, centre_xy=centre, radius=size, upright=upright, irregular=0.07)
    radius, shape = scene.place.radius_px, scene.x.shape
    mottle = smooth_noise(shape, rng, cell_px=0.25 * radius)
    mottle = 0.6 * mottle + 0.6 * smooth_noise(shape, rng, cell_px=0.07 * radius)
    strength, pigment = rng.uniform(0.4, 0.85), rng.uniform(0.0, 0.45)
    reach = zone.reach(scene)
    if not present:
        return picture
    pale = np.array(style.retina, np.float32) * 0.45 + np.array(style.cup, np.float32) * 0.55
    line = np.exp(-(((reach - 1.0) / 0.06) ** 2)) * pigment * (0.6 + 0.4 * np.tanh(mottle))
    dark = picture * (1.0 - line.astype(np.float32))[..., None]
    opacity = edge(reach, 0.16) * strength * np.clip(0.75 + 0.22 * mottle, 0.0, 1.2)
    return blend(dark, pale, opacity.astype(np.float32))


@dataclass(frozen=True)
class Disc:
    """The disc's and the cup's true outlines, as reach from their centres, (H, W) each."""

    disc_reach: Plane
    cup_reach: Plane


def shape_disc(scene: Scene, style: CentreStyle, rng: np.random.Generator) -> Disc:
    """Draw the outlines of disc and cup; the cup keeps clear of the disc's edge.

    Args:
        scene: the canvas.
        style: the centre's cup sizes.
        rng: source of all chance.

    Returns:
        The reach of both: below 1 inside.
    """
    outer = draw_outline(
        rng, centre_xy=(0.0, 0.0), radius=1.0, upright=rng.uniform(1.0, 1.16), irregular=0.02
    )
    ratio = rng.uniform(*style.cup_to_disc)
    room = 1.0 - ratio
    centre = (room * rng.uniform(0.0, 0.4), room * rng.uniform(-0.25, 0.25))
    inner = draw_outline(
        rng, centre_xy=centre, radius=ratio, upright=rng.uniform(0.9, 1.15), irregular=0.045
    )
    disc_reach = outer.reach(scene)
    return Disc(disc_reach, np.maximum(inner.reach(scene), disc_reach / np.float32(0.94)))


def paint_disc(
    picture: Picture, scene: Scene, disc: Disc, *, style: CentreStyle, rng: np.random.Generator
) -> Picture:
    """Paint rim and cup over the retina.

    Args:
        picture: (H, W, 3), retina and atrophy.
        scene: the canvas.
        disc: the outlines.
        style: the centre's colours, contrasts and softness.
        rng: source of all chance.

    Returns:
        (H, W, 3).
    """
    shape, radius = scene.x.shape, scene.place.radius_px
    soft = rng.uniform(*style.edge_softness)
    contrast = rng.uniform(*style.cup_contrast)
    retina, rim = np.array(style.retina, np.float32), np.array(style.rim, np.float32)
    cup = rim + (np.array(style.cup, np.float32) - rim) * np.float32(contrast)

    halo = np.exp(-(((disc.disc_reach - 1.12) / 0.16) ** 2)) * rng.uniform(-0.05, 0.16)
    picture = picture * (1.0 - halo.astype(np.float32))[..., None]
    soften = np.float32(soft) * (
        np.float32(1.3) - np.float32(0.7) * np.tanh(scene.x)
    )  # the nasal edge is the softer one
    shade = 1.0 + 0.05 * scene.x + 0.04 * smooth_noise(shape, rng, cell_px=0.5 * radius)
    rosy = np.clip(0.16 - 0.22 * scene.x, 0.0, 0.5)  # the nasal rim is thicker and redder
    rims = (rim + (retina - rim) * rosy[..., None]) * shade[..., None]
    scleral = np.exp(-(((disc.disc_reach - 0.97) / 0.035) ** 2)) * np.clip(scene.x, 0.0, 1.0)
    rims = rims + (cup - rims) * (scleral * rng.uniform(0.0, 0.5))[..., None]
    picture = blend(picture, rims.astype(np.float32), edge(disc.disc_reach, soften))

    pores = smooth_noise(shape, rng, cell_px=0.08 * radius) * rng.uniform(0.0, 0.03)
    deep = np.clip(1.0 - disc.cup_reach, 0.0, 1.0) * 0.10  # the cup's floor is a little brighter
    floor = cup * (0.97 + deep + pores)[..., None]
    return blend(picture, floor.astype(np.float32), edge(disc.cup_reach, 2.0 * soft + 0.16))
