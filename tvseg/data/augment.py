"""Augmentation, by albumentations, drawn afresh from a seed for each image.

albumentations 2.0.8 keeps its own random state, which worker processes copy and rewind at every
epoch. So no state is kept here: each draw states its seed, whatever process applies it.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

from tvseg.errors import UserError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for news on import

import albumentations as A
import cv2
import numpy as np

_MIXING = 1
"""Tells the random numbers of a mixture from those of the augmentation of the same seed."""


class ScaleCrop(A.DualTransform):  # type: ignore[misc]
    """Enlarge width and height independently by U(1, ``limit``), then crop the old size at random.

    Args:
        limit: Largest factor, at least 1.
        p: Probability of doing anything.

    Source: random scale-crop of the published TVConv segmentation code.
    """

    def __init__(self, *, limit: float = 1.5, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.limit = limit

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the window (top, left, bottom, right) that fills the picture, in px."""
        height, width = params["shape"][:2]
        rows, columns = (
            round(side / self.py_random.uniform(1.0, self.limit)) for side in (height, width)
        )
        top = self.py_random.randint(0, height - rows)
        left = self.py_random.randint(0, width - columns)
        return {"window": (top, left, top + rows, left + columns)}

    def apply(self, img: np.ndarray, window: tuple[int, ...], **params: Any) -> np.ndarray:
        """Crop the window and enlarge it, bilinearly."""
        return _fill(img, window, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: np.ndarray, window: tuple[int, ...], **params: Any) -> np.ndarray:
        """Crop the window and enlarge it, nearest neighbour."""
        return _fill(mask, window, cv2.INTER_NEAREST)


def _fill(image: np.ndarray, window: tuple[int, ...], interpolation: int) -> np.ndarray:
    height, width = image.shape[:2]
    top, left, bottom, right = window
    crop = np.ascontiguousarray(image[top:bottom, left:right])
    filled = cv2.resize(crop, (width, height), interpolation=interpolation)
    return np.asarray(filled).reshape(image.shape)


def camera(
    *,
    hue: float,
    gamma: tuple[int, int],
    gamma_p: float,
    noise: float,
    soft_p: float,
    compressed: bool = False,
) -> list[A.BasicTransform]:
    """Return changes of colour, brightness, sharpness and noise, as cameras differ in.

    Args:
        hue: Largest shift of the hue.
        gamma: Range of the gamma curve's exponent in percent.
        gamma_p: Probability of a gamma curve.
        noise: Largest standard deviation of the noise.
        soft_p: Probability of blur, of noise, and of compression.
        compressed: Whether JPEG compression is among the changes.
    """
    changes = [
        A.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.4, hue=hue, p=0.8),
        A.RandomGamma(gamma_limit=gamma, p=gamma_p),
        A.GaussianBlur(blur_limit=(3, 5), p=soft_p),
        A.GaussNoise(std_range=(0.01, noise), p=soft_p),
    ]
    if compressed:
        changes.append(A.ImageCompression(quality_range=(50, 95), p=soft_p))
    return changes


def _strong() -> list[A.BasicTransform]:
    changes = camera(hue=0.05, gamma=(70, 140), gamma_p=0.3, noise=0.05, soft_p=0.2)
    return [ScaleCrop(), A.HorizontalFlip(p=0.5), *changes]


def _strong2() -> list[A.BasicTransform]:
    """Return the strong changes, and such in light, tone, colour and resolution."""
    lowered = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
    return [
        *_strong(),
        A.Illumination(mode="gaussian", intensity_range=(0.05, 0.2), p=0.3),
        A.RandomToneCurve(scale=0.2, per_channel=True, p=0.3),
        A.PlanckianJitter(mode="blackbody", p=0.3),
        A.Downscale(scale_range=(0.4, 0.9), interpolation_pair=lowered, p=0.2),
        A.ImageCompression(quality_range=(40, 95), p=0.2),
    ]


def _framing() -> list[A.BasicTransform]:
    """Return zooms and shifts as wide as centres differ in how they cut their regions."""
    shifted = dict.fromkeys("xy", (-0.1, 0.1))  # each axis by a draw of its own
    reframed = A.Affine(
        scale=(0.6, 1.6),
        translate_percent=shifted,
        keep_ratio=True,
        balanced_scale=True,
        border_mode=cv2.BORDER_REPLICATE,
        p=0.8,
    )
    return [reframed]


AUGMENTATIONS: dict[str, Callable[[], list[A.BasicTransform]]] = {
    "none": list,
    "scale_crop": lambda: [ScaleCrop()],
    "strong": _strong,
    "strong2": _strong2,
    "framing": _framing,
}

MIXTURES: dict[str, Callable[[], list[A.BasicTransform]]] = {
    "none": list,
    "fourier": lambda: [A.FDA(beta_limit=(0.0, 0.05), metadata_key="style", p=0.5)],
    "histogram": lambda: [A.HistogramMatching(blend_ratio=(0.3, 1.0), metadata_key="style", p=0.5)],
}
"""Ways to recolour a photograph by another one, by the values of the key ``mix``.

Source: Yang and Soatto, FDA: Fourier Domain Adaptation for Semantic Segmentation, CVPR 2020.
"""


def apply_seeded(
    transform: A.Compose, seeds: Iterable[int], **targets: np.ndarray | list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Transform an image and what belongs to it, so that the outcome depends on the seeds alone.

    Args:
        transform: Of albumentations.
        seeds: One for each of its steps; equal ones would tie their draws.
        targets: ``image`` and, where there are some, ``mask`` and ``style``.
    """
    for step, seed in zip(transform.transforms, seeds, strict=True):
        step.set_random_seed(seed)
    transformed: dict[str, np.ndarray] = transform(**targets)
    return transformed


class Augmentation:
    """A named augmentation as a function of image, masks and seed.

    Args:
        name: One of ``AUGMENTATIONS``.

    Raises:
        ValueError: An unknown name.
    """

    def __init__(self, name: str) -> None:
        if name not in AUGMENTATIONS:
            raise UserError(f"augment must be one of {', '.join(AUGMENTATIONS)}, got {name!r}")
        self.transform = A.Compose(AUGMENTATIONS[name]())

    def __call__(
        self, image: np.ndarray, masks: np.ndarray, *, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment one image.

        Args:
            image: uint8 (H, W, 3).
            masks: uint8 (H, W, S).
            seed: The draw's seed; the result depends on nothing else.

        Returns:
            Image and masks of the same sizes.
        """
        seeds = np.random.SeedSequence(seed).spawn(len(self.transform.transforms))
        states = (int(one.generate_state(1)[0]) for one in seeds)
        augmented = apply_seeded(self.transform, states, image=image, mask=masks)
        return augmented["image"], augmented["mask"]


class Mixture:
    """A way to give half of the photographs the colours of another one, as a function of a seed.

    Args:
        name: One of ``MIXTURES``.
    """

    def __init__(self, name: str) -> None:
        self.transform = A.Compose(MIXTURES[name]())

    def __bool__(self) -> bool:
        """Return whether it changes photographs."""
        return bool(self.transform.transforms)

    def __call__(
        self, image: np.ndarray, others: Callable[[np.random.Generator], np.ndarray], *, seed: int
    ) -> np.ndarray:
        """Recolour one image.

        Args:
            image: uint8 (H, W, 3).
            others: Draws the photograph that gives its colours, uint8 (H', W', 3).
            seed: Of the image's draw; the result depends on nothing else.
        """
        if not self:
            return image
        rng = np.random.default_rng([seed, _MIXING])
        style = others(rng)
        seeds = [int(rng.integers(2**31))]
        recoloured = apply_seeded(self.transform, seeds, image=image, style=[style])
        return recoloured["image"]
