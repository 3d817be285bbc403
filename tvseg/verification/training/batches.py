"""Batches of a face training: every picture once an epoch, mirrored at random, without state."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from tvseg.verification.data.pictures import Faces
from tvseg.verification.settings import JitterSettings

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
    """Pictures of a training set, mirrored with probability 1/2 and jittered.

    What is drawn for a picture depends on the seed, the epoch and the picture alone.

    Args:
        faces: In memory.
        seed: Of mirroring and jitter.
        flip: Whether to mirror at all.
        jitter: Random affine changes.
    """

    def __init__(
        self, faces: Faces, *, seed: int, flip: bool, jitter: JitterSettings | None = None
    ) -> None:
        self.faces, self.seed, self.flip = faces, seed, flip
        self.jitter = None if jitter == JitterSettings() else jitter

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key
        pixels = self.faces.pixels[index]
        draws = np.random.default_rng((self.seed, epoch, index, 1))
        if self.flip and draws.integers(2):
            pixels = pixels[:, ::-1]
        if self.jitter is not None:
            pixels = jittered(pixels, self.jitter, draws)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))),
            "label": torch.tensor(self.faces.identities[index]),
            "id": self.faces.names[index],
        }


def jittered(pixels: np.ndarray, jitter: JitterSettings, draws: np.random.Generator) -> np.ndarray:
    """Rotate, scale, shear and shift a picture at random about its centre; outside it is black.

    Args:
        pixels: uint8 (S, S, 3).
        jitter: How much, at most.
        draws: Five numbers are drawn from it.
    """
    side = len(pixels)
    angle, shear, size, down, across = draws.uniform(-1, 1, 5)
    turn, slant = np.deg2rad([jitter.rotation * angle, jitter.shear * shear])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = (1 + jitter.scale * size) * rotation @ np.array([[1, np.tan(slant)], [0, 1]])
    centre = np.full(2, (side - 1) / 2)
    shift = jitter.translation * side * np.array([across, down])
    matrix = np.column_stack([linear, centre + shift - linear @ centre])  # (x, y) -> (x, y)
    changed: np.ndarray = cv2.warpAffine(np.ascontiguousarray(pixels), matrix, (side, side))
    return changed
