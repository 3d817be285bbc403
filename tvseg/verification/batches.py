"""Batches of a face training: every picture once an epoch, mirrored at random, without state."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from tvseg.verification.data import Faces

Key = tuple[int, int]
"""Epoch, and index of the picture."""


class EpochBatches(Sampler[list[Key]]):
    """Batches of shuffled pictures, the rest of an epoch that fills no batch left out.

    The order of an epoch depends on the seed and the epoch alone.

    Args:
        count: Number of pictures.
        batch: Pictures in a batch.
        epochs: Of the training.
        seed: Of the order.
        first_step: Step to begin with, counted from 0.
    """

    def __init__(
        self, count: int, *, batch: int, epochs: int, seed: int, first_step: int = 0
    ) -> None:
        self.count, self.batch, self.epochs, self.seed = count, batch, epochs, seed
        self.first_step = first_step
        self.steps_per_epoch = count // batch

    def __len__(self) -> int:
        return self.epochs * self.steps_per_epoch - self.first_step

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first_step, self.epochs * self.steps_per_epoch):
            epoch, within = divmod(step, self.steps_per_epoch)
            if within == 0 or step == self.first_step:
                order = np.random.default_rng((self.seed, epoch)).permutation(self.count)
            start = within * self.batch
            yield [(epoch, int(index)) for index in order[start : start + self.batch]]


class FaceSet(Dataset[dict[str, Any]]):
    """Pictures of a training set, each mirrored with probability 1/2.

    Args:
        faces: In memory.
        seed: Of the mirroring, which depends on it, the epoch and the picture alone.
        flip: Whether to mirror at all.
    """

    def __init__(self, faces: Faces, *, seed: int, flip: bool) -> None:
        self.faces, self.seed, self.flip = faces, seed, flip

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key
        pixels = self.faces.pixels[index]
        if self.flip and np.random.default_rng((self.seed, epoch, index, 1)).integers(2):
            pixels = pixels[:, ::-1]
        return {
            "image": torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))),
            "label": torch.tensor(self.faces.identities[index]),
            "id": self.faces.names[index],
        }
