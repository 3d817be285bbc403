"""Random colours and geometry of one eye: the style of a single photograph, not of a centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tvseg.data.phantoms.random.curves import Curve, bulge, draw_curve

RGB = NDArray[np.float32]  # (3,)
Planes = NDArray[np.float32]  # (3, H, W), RGB, about 0..1

FRAMING = (0.25, 0.95)
"""Diameter of the disc over the side of a region: what is drawn from."""

CUP_TO_DISC = (0.1, 0.9)
"""Diameter of the cup over the disc's: what is drawn from."""

CUP_REACH_MAX = 0.97
"""The cup ends here at the latest, as a share of the way to the disc's edge."""


@dataclass(frozen=True)
class Palette:
    """Colours of one eye, RGB, about 0 to 1; the camera changes them later.

    Args:
        retina: Background.
        rim: Neuroretinal rim.
        cup: Palest part of the cup.
        sclera: Bare sclera, where the retina is thin beside the disc.
        vein: Absorption of light by a vein, negative logarithm.
        artery: The same of an artery.
    """

    retina: RGB
    rim: RGB
    cup: RGB
    sclera: RGB
    vein: RGB
    artery: RGB


def solid(colour: RGB) -> Planes:
    """Return a colour (3,) as planes (3, 1, 1) that fill any picture."""
    return colour[:, None, None]


def draw_palette(rng: np.random.Generator) -> Palette:
    """Draw the colours of an eye, from dark brown to pale pink ones, cups pale or hardly so."""
    green = rng.uniform(0.27, 0.78)
    blue = green * np.clip(rng.normal(0.2 + 0.9 * (green - 0.3), 0.15), 0.1, 0.92)
    retina = 0.5 * np.array((1.0, green, blue))
    lift = rng.uniform(0.12, 0.65)
    rim = retina * np.exp(lift * np.array((0.9, rng.uniform(0.6, 1.2), rng.uniform(0.3, 1.6))))
    pallor = rng.uniform(0.1, 0.75) if rng.random() < 0.85 else rng.uniform(0.0, 0.08)
    tint = np.array((0.4, rng.uniform(0.8, 1.1), rng.uniform(0.9, 1.8)))
    cup = rim * np.exp(pallor * tint)
    cup[1] = min(cup[1], 0.93 * cup[0])
    cup[2] = min(cup[2], 0.97 * cup[1])
    sclera = 0.5 * (retina + cup) * np.exp(rng.normal(0.12, 0.15) * np.array((0.6, 1.0, 1.2)))
    depth = np.exp(rng.normal(0.0, 0.3, 2))
    vein = depth[0] * np.array((rng.uniform(0.15, 0.6), rng.uniform(0.8, 1.3), 0.95))
    artery = depth[1] * np.array((rng.uniform(0.02, 0.25), rng.uniform(0.5, 0.95), 0.65))
    return Palette(*(np.asarray(c, np.float32) for c in (retina, rim, cup, sclera, vein, artery)))


@dataclass(frozen=True)
class DiscShape:
    """The true outlines of one eye's disc and cup, in disc radii.

    Args:
        disc: Outline of the disc.
        cup: Outline of the cup; counts where it is inside the disc.
        ratio: The cup's diameter over the disc's, as drawn.
    """

    disc: Curve
    cup: Curve
    ratio: float


def draw_disc_shape(rng: np.random.Generator) -> DiscShape:
    """Draw the outlines: upright discs mostly, some tilted or irregular; cups of all sizes.

    Cups lie a little towards the temporal side and grow notches upwards or downwards.
    """
    tilted = rng.random() < 0.15
    aspect = float(np.exp(rng.normal(0.28, 0.12) if tilted else rng.normal(0.1, 0.07)))
    tilt = np.pi / 2.0 + rng.normal(0.0, 0.7 if tilted else 0.25)
    disc = draw_curve(
        rng, radius=1.0, aspect=aspect, tilt=tilt, irregular=rng.uniform(0.005, 0.035)
    )
    low, high = CUP_TO_DISC
    ratio = low + (high - low) * float(rng.beta(1.9, 1.7))
    room = 1.0 - ratio
    centre = (room * rng.normal(0.12, 0.2), room * rng.normal(0.0, 0.15))
    share = rng.uniform(0.0, 1.0)  # of the disc's elongation that the cup follows
    cup = draw_curve(
        rng,
        centre_xy=centre,
        radius=ratio,
        aspect=float(aspect**share * np.exp(rng.normal(0.0, 0.07))),
        tilt=tilt + rng.normal(0.0, 0.2),
        irregular=rng.uniform(0.01, 0.07),
    )
    if rng.random() < 0.3:
        pole = float(rng.choice((-1.0, 1.0))) * np.pi / 2.0 + rng.normal(0.0, 0.5)
        cup = bulge(cup, pole, height=rng.uniform(0.1, 0.45), width=rng.uniform(0.15, 0.5))
    return DiscShape(disc, cup, ratio)
