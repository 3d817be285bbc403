"""Images in memory, and the domain-balanced draws that training makes from them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from tvseg.data.augment import Augmentation, Mixture
from tvseg.data.cache.decoded import Decoded, cached
from tvseg.data.cases import DECODING_THREADS, Case, by_centre
from tvseg.data.fingerprint import Identities, Identity, identify, identities_of
from tvseg.data.images import resize_image, resize_masks
from tvseg.data.phantoms.random.draw import draw_random_roi
from tvseg.errors import UsageError

PHANTOM = -1
"""In a :class:`Draw`, instead of the place of an image: a phantom, to be drawn."""


@dataclass(frozen=True)
class LoadedCases:
    """Decoded cases at the network's size.

    ``images`` is uint8 (N, S, S, 3), ``masks`` uint8 (N, S, S, structures) of 0 and 1.
    """

    cases: tuple[Case, ...]
    images: np.ndarray
    masks: np.ndarray

    def subset(self, cases: Sequence[Case]) -> "LoadedCases":
        """Some of these cases, in the given order; their pixels are copied."""
        index_of = {case.id: index for index, case in enumerate(self.cases)}
        indices = [index_of[case.id] for case in cases]
        return LoadedCases(tuple(cases), self.images[indices], self.masks[indices])


def load_cases(cases: Sequence[Case], *, image_size: int) -> tuple[LoadedCases, Identities]:
    """Decode, check, pad to square and resize cases, each once on this machine.

    What was decoded before is taken from the cache, see :mod:`tvseg.data.cache.decoded`.

    Args:
        cases: At least one case.
        image_size: Side in px that the network sees.

    Returns:
        The cases in memory, and digests of their native pixels.

    Raises:
        ValueError: A case that cannot be read or breaks its centre's encoding.
    """
    place_of = {case.id: place for place, case in enumerate(cases)}
    identities: Identities = {}
    arrays: tuple[np.ndarray, ...] = ()
    for group in by_centre(cases):
        found = cached(group, str(image_size), partial(_decode, group, image_size))
        if not arrays:
            arrays = tuple(
                np.empty((len(cases), *part.shape[1:]), np.uint8) for part in found.arrays
            )
        places = [place_of[case.id] for case in group]
        for array, part in zip(arrays, found.arrays, strict=True):
            array[places] = part
        digests = cached(group, "digests", partial(Decoded, found.digests))  # who needs no pixels
        identities |= identities_of(group, digests.digests)
    return LoadedCases(tuple(cases), *arrays), {case.id: identities[case.id] for case in cases}


def _decode(cases: Sequence[Case], image_size: int) -> Decoded:
    def load(case: Case) -> tuple[np.ndarray, np.ndarray, Identity]:
        image, masks = case.read()
        small = np.stack(list(resize_masks(masks, image_size)), axis=-1)
        return resize_image(image, image_size), small.astype(np.uint8), identify(image, masks)

    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        steps = pool.map(load, cases)
        loaded = list(tqdm(steps, "reading photographs", len(cases), leave=False))
    images, masks, identities = zip(*loaded, strict=True)
    return Decoded([one.digests for one in identities], (np.stack(images), np.stack(masks)))


class Draw(NamedTuple):
    """One training example to make: the place of its image, augmented by which seed.

    Where the place is ``PHANTOM``, ``seed`` counts the phantoms of the training.
    """

    place: int
    seed: int


class BalancedDraws(Sampler[list[Draw]]):
    """Batches of as many images from each centre, drawn with replacement.

    A batch depends on the seed and its step alone, not on the steps before it nor on the process
    that draws it, so that a resumed training goes on with the same batches.

    Args:
        centres: Centre letter of each image.
        per_centre: Images of each centre in a batch.
        steps: Number of batches of the whole training.
        seed: Seed of all draws.
        first_step: Batch to begin with, counted from 0.
        phantoms: Phantoms that follow the images in a batch; none comes twice.

    Source: section 4.2 of the TVConv paper and its published code (16 from each source centre).
    """

    def __init__(
        self,
        centres: Sequence[str],
        *,
        per_centre: int,
        steps: int,
        seed: int,
        first_step: int = 0,
        phantoms: int = 0,
    ) -> None:
        letters = np.asarray(centres)
        self.groups = [np.flatnonzero(letters == letter) for letter in dict.fromkeys(centres)]
        self.per_centre = per_centre
        self.steps = steps
        self.seed = seed
        self.first_step = first_step
        self.phantoms = phantoms

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in range(self.first_step, self.steps):
            rng = np.random.default_rng([self.seed, step])
            indices = [int(i) for group in self.groups for i in rng.choice(group, self.per_centre)]
            seeds = rng.integers(2**31, size=len(indices)).tolist()
            first = step * self.phantoms
            yield [
                *(Draw(index, seed) for index, seed in zip(indices, seeds, strict=True)),
                *(Draw(PHANTOM, first + count) for count in range(self.phantoms)),
            ]


class TrainingSet(Dataset[dict[str, object]]):
    """Augmented training examples and phantoms, addressed by :class:`Draw`.

    Args:
        loaded: The photographs.
        augmentation: Of the photographs; phantoms vary enough as they are.
        mixture: Recolours photographs by those of other centres, before their augmentation; needs
            two centres or more.
        seed: Of the phantoms.
        structures: Channels of a phantom's masks, out of ``cup`` and ``disc``.

    Raises:
        UsageError: A mixture, and photographs of one centre alone.
    """

    def __init__(
        self,
        loaded: LoadedCases,
        augmentation: Augmentation,
        *,
        mixture: Mixture | None = None,
        seed: int = 0,
        structures: Sequence[str] = ("cup", "disc"),
    ) -> None:
        self.loaded = loaded
        self.augmentation = augmentation
        self.mixture = mixture or Mixture("none")
        self.letters = np.asarray([case.centre.letter for case in loaded.cases])
        if self.mixture and len(set(self.letters)) == 1:
            raise UsageError(
                "mixture recolours photographs by those of another centre; all are of centre "
                f"{self.letters[0]}: leave mixture out, or load two centres or more"
            )
        self.seed = seed
        self.structures = structures

    def __getitem__(self, draw: Draw) -> dict[str, object]:
        if draw.place == PHANTOM:
            image, masks = drawn_example(
                self.seed, draw.seed, side_px=self.loaded.images.shape[1], names=self.structures
            )
            return _example(image, masks, f"phantom/{self.seed}/{draw.seed}")
        mixed = self.mixture(
            self.loaded.images[draw.place], partial(self._of_another, draw.place), seed=draw.seed
        )
        image, masks = self.augmentation(mixed, self.loaded.masks[draw.place], seed=draw.seed)
        return _example(image, masks, self.loaded.cases[draw.place].id)

    def _of_another(self, place: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a photograph of another centre, each centre being as likely as the others."""
        own = self.letters[place]
        letter = rng.choice(sorted(set(self.letters[self.letters != own])))
        image: np.ndarray = self.loaded.images[rng.choice(np.flatnonzero(self.letters == letter))]
        return image


def drawn_example(
    seed: int, index: int, *, side_px: int, names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a phantom of the random style; it depends on the arguments alone.

    Args:
        seed: Of the sequence of phantoms.
        index: In that sequence.
        side_px: Height and width.
        names: Channels of the masks, out of ``cup`` and ``disc``.

    Returns:
        The picture, uint8 (side_px, side_px, 3), and its masks, uint8 (side_px, side_px, names).
    """
    phantom = draw_random_roi(np.random.default_rng([seed, index]), side_px=side_px)
    masks = np.stack([getattr(phantom, name) for name in names], axis=-1)
    return phantom.image, masks.astype(np.uint8)


class ValidationSet(Dataset[dict[str, object]]):
    """The loaded cases as they are, addressed by their place."""

    def __init__(self, loaded: LoadedCases) -> None:
        self.loaded = loaded

    def __len__(self) -> int:
        return len(self.loaded.cases)

    def __getitem__(self, index: int) -> dict[str, object]:
        return _example(
            self.loaded.images[index], self.loaded.masks[index], self.loaded.cases[index].id
        )


def _example(image: np.ndarray, masks: np.ndarray, name: str) -> dict[str, object]:
    return {
        "image": torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1),  # (3, S, S)
        "label": torch.from_numpy(np.ascontiguousarray(masks)).permute(
            2, 0, 1
        ),  # (structures, S, S)
        "id": name,
    }
