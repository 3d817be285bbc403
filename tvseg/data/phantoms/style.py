"""How the four centres of phantom photographs differ: colour, light, blur, vessels, framing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Range = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class CentreStyle:
    """What sets the photographs of one centre apart; a range is drawn from per image.

    Args:
        retina: RGB of the background, in 0..1.
        rim: RGB of the neuroretinal rim, in 0..1.
        cup: RGB of the cup, in 0..1.
        colour_spread: standard deviation of the logarithm of brightness and hue between images.
        framing: the disc's diameter (that of the circle of equal area) over the region's side.
        cup_to_disc: the cup's diameter over the disc's.
        cup_contrast: how far the cup goes from the rim's colour to its own, in 0..1.
        edge_softness: width of the disc's edge, in disc radii; the cup's edge is twice as soft.
        texture: strength of the choroid's pattern, 1 is plain to see.
        atrophy_share: share of images with peripapillary atrophy.
        vessel_density: side branches per disc radius of vessel.
        vessel_contrast: factor on the absorption by blood.
        gradient: relative change of illumination from the middle to the edge.
        vignette: share of light lost in the corners.
        blur: standard deviation of the defocus blur, as a share of the region's side.
        haze: share of light scattered widely, in 0..1.
        noise: standard deviation of the sensor's noise, in 0..1.
        gamma: exponent of the camera's tone curve; below 1 brightens.
    """

    retina: Colour
    rim: Colour
    cup: Colour
    colour_spread: float
    framing: Range
    cup_to_disc: Range
    cup_contrast: Range
    edge_softness: Range
    texture: float
    atrophy_share: float
    vessel_density: float
    vessel_contrast: float
    gradient: float
    vignette: float
    blur: Range
    haze: float
    noise: float
    gamma: float


# A: brown-orange, even light, sharp; B: dark red, close framing, strong vignette, blurred;
# C: bright orange, wide framing, many vessels, noisy; D: pale and pinkish, hazy, overexposed cups.
_OF_A_B_C_D: dict[str, tuple[Any, Any, Any, Any]] = {
    "retina": ((0.48, 0.245, 0.08), (0.45, 0.15, 0.08), (0.62, 0.275, 0.10), (0.53, 0.275, 0.155)),
    "rim": ((0.82, 0.46, 0.16), (0.73, 0.32, 0.155), (0.88, 0.47, 0.20), (0.83, 0.46, 0.27)),
    "cup": ((0.95, 0.70, 0.33), (0.88, 0.57, 0.28), (0.98, 0.74, 0.40), (1.0, 0.77, 0.50)),
    "colour_spread": (0.18, 0.18, 0.18, 0.16),
    "framing": ((0.33, 0.44), (0.46, 0.56), (0.31, 0.40), (0.40, 0.52)),
    "cup_to_disc": ((0.35, 0.80), (0.30, 0.75), (0.30, 0.65), (0.30, 0.70)),
    "cup_contrast": ((0.65, 1.0), (0.6, 1.0), (0.65, 1.0), (0.65, 1.0)),
    "edge_softness": ((0.025, 0.06), (0.03, 0.09), (0.025, 0.06), (0.03, 0.08)),
    "texture": (0.6, 0.8, 0.9, 0.7),
    "atrophy_share": (0.35, 0.3, 0.4, 0.5),
    "vessel_density": (0.35, 0.3, 0.6, 0.35),
    "vessel_contrast": (0.85, 0.9, 0.95, 0.65),
    "gradient": (0.28, 0.35, 0.35, 0.3),
    "vignette": (0.15, 0.45, 0.15, 0.25),
    "blur": ((0.0015, 0.003), (0.003, 0.006), (0.001, 0.0025), (0.002, 0.004)),
    "haze": (0.10, 0.12, 0.06, 0.2),
    "noise": (0.012, 0.018, 0.018, 0.010),
    "gamma": (1.0, 1.05, 1.0, 0.97),
}

STYLES = {
    letter: CentreStyle(**{name: values[index] for name, values in _OF_A_B_C_D.items()})
    for index, letter in enumerate("ABCD")
}
"""The phantom centres by letter."""
