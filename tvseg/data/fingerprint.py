"""Digests of pictures and data sets, whatever their files are called."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image
from tqdm import tqdm

from tvseg.data.cache.decoded import Decoded, cached
from tvseg.data.cases import DECODING_THREADS, Case, by_centre


@dataclass(frozen=True)
class Identity:
    """Digests of a photograph's and its masks' native pixels, and its perceptual hash."""

    image: str
    masks: str
    perceptual: bytes

    @property
    def digests(self) -> list[str]:
        """All three as texts."""
        return [self.image, self.masks, self.perceptual.hex()]


Identities = dict[str, Identity]
"""By case id."""

BLANK_SPREAD = 2.0
"""Standard deviation of brightness, of 255, below which a picture shows nothing."""

FRAME_LEVEL = 3
FRAME_SHARE = 0.9
"""A row or column belongs to a black frame when this share of its pixels is at most this bright. On
four real centres JPEG copies were found as well with this search for frames as without."""


def identify(image: np.ndarray, masks: np.ndarray) -> Identity:
    """Return the identity of a decoded case: uint8 (H, W, 3), bool (S, H, W)."""
    return Identity(pixel_hash(image), pixel_hash(masks), perceptual_hash(image))


def pixel_hash(image: np.ndarray) -> str:
    """Return a digest of a decoded picture, the same whatever its file format or metadata."""
    return hashlib.sha256(
        str(image.shape).encode() + np.ascontiguousarray(image).tobytes()
    ).hexdigest()


def perceptual_hash(image: np.ndarray) -> bytes:
    """Return 256 bits that say where brightness rises to the right.

    Copies of a picture in another format or size, or in a black frame, differ in few bits.

    Returns:
        32 bytes, none for a picture of a single brightness, which has no such hash.

    Source: difference hash (dHash), on a grid of 16 x 16.
    """
    inside = lit_part(image)
    grey = Image.fromarray(inside).convert("L")
    if np.asarray(grey.resize((64, 64), Image.Resampling.BOX)).std() < BLANK_SPREAD:
        return b""
    samples = np.asarray(grey.resize((17, 16), Image.Resampling.LANCZOS)).astype(np.int16)
    return np.packbits(samples[:, 1:] > samples[:, :-1]).tobytes()


def lit_part(image: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (H, W, 3), without the black rows and columns about it."""
    lit = image.max(axis=-1) > FRAME_LEVEL
    spans = []
    for axis in (1, 0):
        (bright,) = np.nonzero(lit.mean(axis=axis) > 1 - FRAME_SHARE)
        spans.append(slice(bright[0], bright[-1] + 1) if len(bright) else slice(None))
    return image[spans[0], spans[1]]


def fingerprint(identities: Identities) -> str:
    """One digest of a data set: of each case's id, photograph and masks."""
    lines = [f"{name} {one.image}{one.masks}" for name, one in sorted(identities.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def identify_all(cases: Sequence[Case]) -> Identities:
    """Decode cases for their identities alone; those that the cache knows are not decoded.

    Raises:
        UserError: A case that cannot be read or breaks its centre's encoding.
    """
    identities: Identities = {}
    for group in by_centre(cases):
        found = cached(group, "digests", partial(_decode_digests, group))
        identities |= identities_of(group, found.digests)
    return {case.id: identities[case.id] for case in cases}


def identities_of(cases: Sequence[Case], digests: Sequence[Sequence[str]]) -> Identities:
    """Return the identities of cases, given as texts in order."""
    return {
        case.id: Identity(image, masks, bytes.fromhex(perceptual))
        for case, (image, masks, perceptual) in zip(cases, digests, strict=True)
    }


def _decode_digests(cases: Sequence[Case]) -> Decoded:
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        steps = pool.map(lambda case: identify(*case.read()), cases)
        found = list(tqdm(steps, "comparing data", len(cases), leave=False))
    return Decoded([identity.digests for identity in found])
