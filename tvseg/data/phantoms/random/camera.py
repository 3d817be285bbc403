"""What a camera and its software make of a random phantom: light, optics, tone, noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from tvseg.data.phantoms.random.style import Planes, solid
from tvseg.data.phantoms.tissue import smooth_noise


def _blurred(picture: Planes, sigma: float) -> Planes:
    """Return a picture with each plane blurred."""
    return np.stack([cv2.GaussianBlur(plane, (0, 0), sigma) for plane in picture])


def _resized(picture: Planes, size: tuple[int, int], way: int) -> Planes:
    """Return a picture with each plane resized to (width, height)."""
    return np.stack([cv2.resize(plane, size, interpolation=way) for plane in picture])


def illuminate(picture: Planes, rng: np.random.Generator) -> Planes:
    """Apply uneven light, a vignette, a veil of scattered light and reflections.

    Args:
        picture: (3, H, W).
        rng: Source of all chance.

    Returns:
        (3, H, W).
    """
    height, width = picture.shape[1:]
    v = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    u = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None]
    turn = rng.uniform(0.0, 2.0 * np.pi)
    light = rng.uniform(0.0, 0.45) * (u * np.cos(turn) + v * np.sin(turn))
    middle = rng.normal(0.0, 0.2, 2)
    away = (u - middle[0]) ** 2 + (v - middle[1]) ** 2
    vignette = rng.uniform(0.0, 0.3) if rng.random() < 0.8 else rng.uniform(0.3, 1.0)
    light = (
        light
        - vignette * away
        + rng.uniform(0.0, 0.08) * smooth_noise((height, width), rng, cell_px=width / 3.0)
    )
    picture = picture * np.exp(light.astype(np.float32))
    if rng.random() < 0.6:
        small = _blurred(_resized(picture, (24, 24), cv2.INTER_AREA), rng.uniform(1.5, 4.0))
        small = 0.5 * small + 0.5 * small.mean(0)  # half grey
        veil = _resized(small, (width, height), cv2.INTER_LINEAR)
        picture = picture + np.float32(rng.uniform(0.0, 0.55) ** 1.5) * (veil - picture)
    if rng.random() < 0.2:
        picture = _reflections(picture, rng)
    return np.asarray(picture, np.float32)


def _reflections(picture: Planes, rng: np.random.Generator) -> Planes:
    """Add pale streaks, arcs or a flare from the side."""
    height, width = picture.shape[1:]
    layer = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        centre = (rng.uniform(-0.2, 1.2, 2) * (width, height)).astype(int).tolist()
        axes = (rng.uniform(0.03, 0.6, 2) * width).astype(int).tolist()
        start, thick = rng.uniform(0.0, 360.0), int(rng.integers(1, max(2, width // 14)))
        span, value = rng.uniform(20.0, 90.0), (float(rng.uniform(60.0, 255.0)),)
        cv2.ellipse(layer, centre, axes, 0.0, start, start + span, value, thick, cv2.LINE_AA)
    smooth = cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.004, 0.04) * width)
    tint = np.array((0.9, rng.uniform(0.5, 0.9), rng.uniform(0.3, 0.9)), np.float32)
    strength = np.float32(rng.uniform(0.1, 0.6) / 255.0)
    return np.asarray(picture + smooth * strength * solid(tint), np.float32)


def defocus(picture: Planes, rng: np.random.Generator, *, side_px: float) -> Planes:
    """Blur as optics do, with fringes of colour, or sharpen as software does.

    Args:
        picture: (3, H, W).
        rng: Source of all chance.
        side_px: Side of a region about the disc, in px; blur is a share of it.

    Returns:
        (3, H, W).
    """
    height, width = picture.shape[1:]
    if rng.random() < 0.3:  # red and blue are magnified differently
        for channel in (0, 2):
            scale = 1.0 + rng.normal(0.0, 0.003)
            move = cv2.getRotationMatrix2D((width / 2.0, height / 2.0), 0.0, scale)
            move[:, 2] += rng.normal(0.0, 0.0015, 2) * side_px
            picture[channel] = cv2.warpAffine(
                picture[channel], move, (width, height), borderMode=cv2.BORDER_REPLICATE
            )
    share = rng.uniform(0.0, 0.006) if rng.random() < 0.75 else rng.uniform(0.006, 0.018)
    if (sigma := share * side_px) > 0.3:
        picture = _blurred(picture, sigma)
    if rng.random() < 0.25:
        smooth = _blurred(picture, rng.uniform(0.004, 0.03) * side_px)
        picture = picture + np.float32(rng.uniform(0.2, 1.4)) * (picture - smooth)
    return np.asarray(picture, np.float32)


def develop(picture: Planes, rng: np.random.Generator) -> Planes:
    """Apply exposure, white balance, saturation and a tone curve; returns 0 to 1."""
    level = float(np.quantile(picture[0, ::8, ::8], 0.75)) + 0.02
    target = rng.uniform(0.45, 1.0) if rng.random() < 0.9 else rng.uniform(0.18, 0.45)
    gain = target / level * np.exp(rng.normal(0.0, (0.05, 0.07, 0.15)))
    picture = np.maximum(picture * solid(gain.astype(np.float32)), 0.0)
    grey = picture.mean(0)
    saturation = rng.uniform(0.55, 1.25) if rng.random() < 0.95 else rng.uniform(0.0, 0.4)
    picture = np.maximum(grey + np.float32(saturation) * (picture - grey), 0.0)
    knee = np.float32(rng.uniform(0.6, 0.95))  # highlights saturate gently above it
    over = np.maximum(picture - knee, 0.0)
    picture = np.minimum(picture, knee) + over / (1.0 + over / (np.float32(1.02) - knee))
    tone = np.clip(picture, 0.0, 1.0) ** np.float32(np.exp(rng.normal(0.0, 0.22)))
    steep = np.float32(rng.uniform(0.0, 0.5))
    tone = tone + steep * (tone * tone * (3.0 - 2.0 * tone) - tone)
    return np.asarray(tone, np.float32)


def expose(picture: Planes, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add the sensor's noise, digitise, and compress or shrink some pictures.

    Args:
        picture: (3, H, W), 0 to 1.
        rng: Source of all chance.

    Returns:
        uint8 (H, W, 3).
    """
    height, width = picture.shape[1:]
    grain = rng.standard_normal((height, width), np.float32) * np.float32(rng.exponential(0.008))
    noise = np.stack([grain, grain[::-1], grain[:, ::-1]])  # as good as three draws
    if rng.random() < 0.6:
        noise = _blurred(noise, rng.uniform(0.5, 1.2)) * np.float32(1.8)
    noisy = picture + noise * np.sqrt(picture + np.float32(0.1))
    image = np.clip(noisy * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    image = np.ascontiguousarray(image.transpose(1, 2, 0))
    if rng.random() < 0.2:  # taken at fewer pixels and enlarged
        share = rng.uniform(0.4, 0.9)
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        way = int(rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC)))
        image = cv2.resize(small, (width, height), interpolation=way)
    if rng.random() < 0.5:
        quality = int(rng.integers(35, 96))
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)
