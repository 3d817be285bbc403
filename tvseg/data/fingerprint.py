"""What tells pictures and data sets apart, whatever their files are called."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from tvseg.data.cases import Case


@dataclass(frozen=True)
class Identity:
    """Digests of a photograph's and its masks' native pixels, and the photograph's look."""

    image: str
    masks: str
    look: np.ndarray


Identities = dict[str, Identity]
"""By case id."""


def identify(image: np.ndarray, masks: np.ndarray) -> Identity:
    """The identity of a decoded case: uint8 (H, W, 3), bool (S, H, W)."""
    return Identity(pixel_hash(image), pixel_hash(masks), picture_hash(image))


def pixel_hash(image: np.ndarray) -> str:
    """A digest of a decoded picture, the same whatever its file format, name or metadata."""
    return hashlib.sha256(
        str(image.shape).encode() + np.ascontiguousarray(image).tobytes()
    ).hexdigest()


def picture_hash(image: np.ndarray) -> np.ndarray:
    """A perceptual hash of a picture, bool (256,): where brightness rises to the right.

    Copies of a picture in another format or size differ in few bits.

    Source: difference hash (dHash), on a grid of 16 x 16.
    """
    grey = Image.fromarray(image).convert("L").resize((17, 16), Image.Resampling.LANCZOS)
    samples = np.asarray(grey).astype(np.int16)
    rises: np.ndarray = samples[:, 1:] > samples[:, :-1]
    return rises.ravel()


def fingerprint(identities: Identities) -> str:
    """One digest of a data set: of each case's id, photograph and masks."""
    lines = [f"{name} {one.image}{one.masks}" for name, one in sorted(identities.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def identify_all(cases: Sequence[Case], *, threads: int = 2) -> Identities:
    """Decode cases for their identities alone.

    Raises:
        ValueError: A case that cannot be read or breaks its centre's encoding.
    """
    with ThreadPoolExecutor(threads) as pool:
        steps = pool.map(lambda case: identify(*case.read()), cases)
        found = list(tqdm(steps, "comparing data", len(cases), leave=False))
    return {case.id: identity for case, identity in zip(cases, found, strict=True)}
