"""Full photographs for training where none are at hand: real regions set into drawn retinas.

A region of interest is set where the drawn vessels converge, its seam feathered and the drawn
retina's colours matched to the region's. So that neither seams nor real texture give the disc
away, disc-free patches of the same region are set in elsewhere, and some pictures have such
patches, or a region whose disc is painted over, and no disc. What a camera does comes last: the
field's black surround, flare at its edge, uneven light, tone, blur and noise.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news on import

import albumentations as A
import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from tvseg.data.augment import apply_seeded, camera
from tvseg.data.dataset import Draw, LoadedCases
from tvseg.data.field_of_view import BLACK
from tvseg.data.phantoms.draw import draw_retina
from tvseg.data.phantoms.style import STYLES

DISC_PX = 58
"""Diameter of the disc on the canvas of a drawn retina."""

CANVAS_PX = 512

DISC_SHARE = (0.11, 0.26)
"""Range of the disc's diameter as a share of the field's."""

RECIPES = {"disc": 0.5, "no disc": 0.2, "painted over": 0.1, "region": 0.2}
"""What a picture shows, and how often."""


@dataclass(frozen=True)
class Region:
    """A region of interest: uint8 (S, S, 3) and its disc, bool (S, S)."""

    image: np.ndarray
    disc: np.ndarray

    def diameter_px(self) -> float:
        """Of the circle of the disc's area."""
        return float(np.sqrt(4 * self.disc.sum() / np.pi))


def draw_retinas(count: int, *, seed: int) -> list[np.ndarray]:
    """Drawn retinas without a disc, uint8 (CANVAS_PX, CANVAS_PX, 3), vessels from their middle."""
    styles = list(STYLES.values())
    return [
        draw_retina(
            styles[index % len(styles)],
            np.random.default_rng([seed, index]),
            side_px=CANVAS_PX,
            radius_px=DISC_PX / 2,
        )
        for index in tqdm(range(count), "drawing retinas", leave=False)
    ]


class Composites(Dataset[dict[str, object]]):
    """Composed photographs, addressed by the place of their region and a seed.

    Args:
        loaded: The regions of interest.
        retinas: Of :func:`draw_retinas`.
        image_size: Side in px of the photographs, a multiple of 4.
    """

    def __init__(
        self,
        loaded: LoadedCases,
        retinas: Sequence[np.ndarray],
        *,
        image_size: int,
    ) -> None:
        self.loaded = loaded
        self.retinas = retinas
        self.image_size = image_size
        self.camera = A.Compose(
            camera(hue=0.04, gamma=(60, 160), gamma_p=0.5, noise=0.04, soft_p=0.3, compressed=True)
        )

    def __getitem__(self, draw: Draw) -> dict[str, object]:
        rng = np.random.default_rng(draw.seed)
        recipe = str(rng.choice(list(RECIPES), p=list(RECIPES.values())))
        disc = self.loaded.masks[draw.place].any(axis=-1)
        region = Region(self.loaded.images[draw.place], disc)
        retina = self.retinas[int(rng.integers(len(self.retinas)))]
        made = compose(region, retina, recipe=recipe, rng=rng, side_px=self.image_size)
        seeds = rng.integers(2**31, size=len(self.camera.transforms)).tolist()
        image = apply_seeded(self.camera, seeds, image=made.image)["image"]
        return {
            "image": torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1),  # (3, S, S)
            "label": torch.from_numpy(made.disc[None].astype(np.uint8)),  # (1, S, S)
            "id": self.loaded.cases[draw.place].id,
        }


def compose(
    region: Region, retina: np.ndarray, *, recipe: str, rng: np.random.Generator, side_px: int
) -> Region:
    """Compose one photograph.

    Args:
        region: A region of interest.
        retina: One of :func:`draw_retinas`.
        recipe: ``disc`` for a photograph with the region in it, ``no disc``, ``painted over`` for
            one with the region in it but no disc, ``region`` for the region itself.
        rng: Source of all chance.
        side_px: Side of the result.

    Returns:
        The photograph and its disc.
    """
    if rng.random() < 0.5:
        region = Region(region.image[:, ::-1], region.disc[:, ::-1])
    if recipe == "region":
        return _crop(region, rng, side_px=side_px)
    scale = DISC_PX * rng.uniform(0.85, 1.15) / max(1.0, region.diameter_px())
    if recipe == "painted over":
        region = paint_over(region)
        scale = DISC_PX * rng.uniform(1.5, 2.2) / region.image.shape[0]
    canvas = _match_colours(Region(retina, np.zeros(retina.shape[:2], bool)), region)
    if recipe != "no disc":
        centre = (CANVAS_PX / 2 + rng.normal(0, 3), CANVAS_PX / 2 + rng.normal(0, 3))
        canvas = _set_in(canvas, region, centre, scale=scale, rng=rng)
    for _ in range(int(rng.integers(4))):
        canvas = _set_in_patch(canvas, region, scale=scale, rng=rng)
    return _photograph(canvas, rng, side_px=side_px)


def paint_over(region: Region) -> Region:
    """A region whose disc is filled in from its surroundings."""
    side = region.image.shape[0]
    hole = cv2.dilate(region.disc.astype(np.uint8), np.ones((3, 3)), iterations=side // 20)
    filled = cv2.inpaint(np.ascontiguousarray(region.image), hole, 3, cv2.INPAINT_TELEA)
    return Region(np.asarray(filled, np.uint8), np.zeros_like(region.disc))


def _crop(region: Region, rng: np.random.Generator, *, side_px: int) -> Region:
    """A part of at least two thirds of the region, the disc's middle in it."""
    side = region.image.shape[0]
    part = round(side / rng.uniform(1.0, 1.3))
    top, left = rng.integers(side - part + 1, size=2)
    rows, cols = slice(top, top + part), slice(left, left + part)
    return _resized(Region(region.image[rows, cols], region.disc[rows, cols]), side_px)


def _resized(region: Region, side_px: int) -> Region:
    size = (side_px, side_px)
    image = cv2.resize(np.ascontiguousarray(region.image), size, interpolation=cv2.INTER_AREA)
    disc = cv2.resize(region.disc.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return Region(np.asarray(image, np.uint8), np.asarray(disc, np.uint8) > 0)


def _match_colours(canvas: Region, region: Region) -> Region:
    """The canvas with the mean colour of the region's retina."""
    retina = region.image[~region.disc & (region.image.max(axis=-1) > BLACK)]
    if not len(retina):
        return canvas
    gain = (retina.mean(axis=0) + 1) / (np.array(cv2.mean(canvas.image)[:3]) + 1)
    table = np.clip(np.arange(256)[:, None, None] * gain, 0, 255).astype(np.uint8)  # (256, 1, 3)
    image = cv2.LUT(canvas.image, table.transpose(1, 0, 2))
    return Region(np.asarray(image, np.uint8), canvas.disc)


def _set_in(
    canvas: Region,
    region: Region,
    centre: tuple[float, float],
    *,
    scale: float,
    rng: np.random.Generator,
) -> Region:
    """Set a region into a canvas about a point (row, col), its seam feathered."""
    small = _resized(region, max(8, round(region.image.shape[0] * scale)))
    side = small.image.shape[0]
    top, left = (round(float(np.clip(c - side / 2, 0, CANVAS_PX - side))) for c in centre)
    place = slice(top, top + side), slice(left, left + side)
    opacity = _feather(small, rng)[..., None]  # (side, side, 1)
    image, disc = canvas.image.copy(), canvas.disc.copy()
    image[place] = np.round(image[place] * (1 - opacity) + small.image * opacity)
    disc[place] = small.disc | (disc[place] & (opacity[..., 0] < 0.5))
    return Region(image, disc)


def _feather(region: Region, rng: np.random.Generator) -> np.ndarray:
    """Opacity (S, S) of a region: 0 at its edge and where it is black, 1 within and on the disc."""
    side = region.image.shape[0]
    along = np.abs(np.linspace(-1, 1, side))
    power = rng.uniform(2.0, 8.0)  # from round to square
    reach = (along[:, None] ** power + along[None] ** power) ** (1 / power)
    opacity = np.clip((1 - reach) / rng.uniform(0.15, 0.4), 0, 1)
    disc = cv2.GaussianBlur(region.disc.astype(np.float32), (0, 0), 0.03 * side + 0.5)
    opacity = np.maximum(opacity, np.clip(2 * disc, 0, 1) * np.clip((1 - reach) / 0.08, 0, 1))
    lit = (region.image.max(axis=-1) > BLACK).astype(np.uint8)
    lit = cv2.erode(lit, np.ones((3, 3)), iterations=2).astype(np.float32)
    return np.asarray(opacity * cv2.GaussianBlur(lit, (0, 0), 1.5), np.float64)


def _set_in_patch(
    canvas: Region, region: Region, *, scale: float, rng: np.random.Generator
) -> Region:
    """Set a disc-free corner of a region into the canvas, somewhere off its disc."""
    side = region.image.shape[0]
    part = round(side * rng.uniform(0.15, 0.4))
    top, left = (int(rng.choice((0, side - part))) for _ in range(2))
    rows, cols = slice(top, top + part), slice(left, left + part)
    patch = Region(region.image[rows, cols], region.disc[rows, cols])
    centre = tuple(rng.uniform(0, CANVAS_PX, 2))
    at = tuple(int(c) for c in centre)
    clear_px = (DISC_PX + part * scale) * 1.2
    far = np.hypot(centre[0] - CANVAS_PX / 2, centre[1] - CANVAS_PX / 2) > clear_px / 1.4
    if patch.disc.any() or not far or canvas.disc[at]:
        return canvas
    size = scale * rng.uniform(0.8, 2.0)
    return _set_in(canvas, patch, (centre[0], centre[1]), scale=size, rng=rng)


def _photograph(canvas: Region, rng: np.random.Generator, *, side_px: int) -> Region:
    """A turned and shifted view of a canvas through a camera's aperture."""
    zoom = rng.uniform(*DISC_SHARE) * side_px / DISC_PX  # canvas to photograph
    turn, off = rng.uniform(0, 2 * np.pi), side_px * 0.47 * np.sqrt(rng.uniform(0, 0.9))
    move = cv2.getRotationMatrix2D((CANVAS_PX / 2,) * 2, rng.normal(0, 10), zoom)
    move[:, 2] += side_px / 2 - CANVAS_PX / 2 + off * np.array((np.cos(turn), 0.6 * np.sin(turn)))
    size = (side_px, side_px)
    image = cv2.warpAffine(
        canvas.image, move, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101
    )
    disc = cv2.warpAffine(canvas.disc.astype(np.uint8), move, size, flags=cv2.INTER_NEAREST)
    picture = _spots(np.asarray(image, np.float32), rng) * _light(side_px, rng)[..., None]
    lit, rim = _aperture(side_px, rng)
    if rng.random() < 0.3:  # light scattered in from the side
        flare = rim * np.clip(_ramp(side_px, rng), 0, 1) * rng.uniform(0.3, 1.2)
        picture = picture + flare[..., None] * np.array((255, rng.uniform(120, 230), 80))
    picture = picture * lit[..., None] + rng.uniform(0, 4)
    visible = (disc > 0) & (lit > 0.5)
    return Region(np.clip(picture, 0, 255).astype(np.uint8), visible)


def _spots(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bright and dark spots, as of exudates, drusen, scars and bleedings."""
    side = picture.shape[0]
    layer = np.zeros(picture.shape[:2], np.float32)
    for _ in range(int(rng.choice((0, 0, 1, 2, 12)))):
        centre = tuple(int(c) for c in rng.uniform(0.1, 0.9, 2) * side)
        axes = tuple(int(a) for a in 1 + rng.exponential(0.02, 2) * side)
        cv2.ellipse(layer, centre, axes, rng.uniform(0, 180), 0, 360, rng.uniform(0.3, 1), -1)
    layer = cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.7, 4))
    bright = np.array((230, 200, 110)) if rng.random() < 0.6 else np.array((60, 20, 15))
    opacity = (layer * rng.uniform(0.3, 0.9))[..., None]
    return np.asarray(picture * (1 - opacity) + bright * opacity, np.float32)


def _ramp(side_px: int, rng: np.random.Generator) -> np.ndarray:
    """A slope in a random direction, (side_px, side_px), -1 to 1 along a half circle."""
    along, angle = np.linspace(-1, 1, side_px), rng.uniform(0, 2 * np.pi)
    return np.asarray(along[:, None] * np.sin(angle) + along[None] * np.cos(angle))


def _light(side_px: int, rng: np.random.Generator) -> np.ndarray:
    """Uneven illumination, (side_px, side_px), 1 at its brightest."""
    slope = rng.uniform(0, 0.9) * rng.uniform()
    return np.asarray(np.clip(1 - slope * (1 + _ramp(side_px, rng)) / 1.6, 0.05, 1))


def _aperture(side_px: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where a camera's field is lit, and the zone along its rim, (side_px, side_px) each."""
    along = np.linspace(-1, 1, side_px)
    reach = np.hypot(along[:, None], along[None])
    lit = np.clip((rng.uniform(0.96, 1.01) - reach) * side_px / rng.uniform(2, 6) + 0.5, 0, 1)
    if rng.random() < 0.5:  # cut off at the top and the bottom
        cut = rng.uniform(0.75, 0.95)
        lit = lit * (np.abs(along)[:, None] < cut)
    if rng.random() < 0.1:  # a photograph cropped within its field
        lit = np.ones_like(lit)
    rim = np.clip((reach - rng.uniform(0.6, 0.9)) * 6, 0, 1)
    return np.asarray(lit), np.asarray(rim)
