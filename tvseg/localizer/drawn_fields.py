"""Full photographs for training where no region of interest may be used: all of them drawn."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from tvseg.data.field_of_view import find_field, shrink
from tvseg.data.phantoms.draw import Phantom
from tvseg.data.phantoms.random.draw import draw_random_field, draw_random_roi

RECIPES = {"disc": 0.7, "no disc": 0.15, "region": 0.15}
"""What a picture shows, and how often."""


class DrawnFields(Dataset[dict[str, object]]):
    """Drawn photographs as a localizer sees them, addressed by their index.

    Args:
        seed: With an index it decides a picture.
        image_size: Side in px of the pictures.
    """

    def __init__(self, *, seed: int, image_size: int) -> None:
        self.seed = seed
        self.image_size = image_size

    def __getitem__(self, index: int) -> dict[str, object]:
        phantom = _draw(np.random.default_rng([self.seed, index, 1]), side_px=self.image_size)
        window = find_field(phantom.image).window
        image = shrink(phantom.image, window, self.image_size)
        disc = shrink(phantom.disc.astype(np.uint8) * 255, window, self.image_size) > 127
        return {
            "image": torch.from_numpy(image).permute(2, 0, 1),  # (3, S, S)
            "label": torch.from_numpy(disc[None].astype(np.uint8)),  # (1, S, S)
            "id": f"drawn field {index}",
        }


def _draw(rng: np.random.Generator, *, side_px: int) -> Phantom:
    recipe = str(rng.choice(list(RECIPES), p=list(RECIPES.values())))
    if recipe == "region":
        return draw_random_roi(rng, side_px=side_px)
    larger_px = round(side_px * rng.uniform(1.0, 1.6))
    return draw_random_field(rng, side_px=larger_px, with_disc=recipe == "disc")


class _Batches(Sampler[list[int]]):
    """Indices that follow one another, a batch a step."""

    def __init__(self, steps: int, size: int) -> None:
        self.steps, self.size = steps, size

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.steps):
            yield list(range(step * self.size, (step + 1) * self.size))


def drawn_batches(
    *, seed: int, image_size: int, steps: int, size: int, workers: int = 0
) -> "DataLoader[dict[str, object]]":
    """Return batches of drawn photographs, no picture twice.

    Args:
        seed: Of the pictures.
        image_size: Their side in px.
        steps: Number of batches.
        size: Pictures in each.
        workers: Processes that draw.
    """
    if workers:
        cv2.setNumThreads(1)  # a forked process waits forever for the threads of OpenCV's pool
    pictures = DrawnFields(seed=seed, image_size=image_size)
    return DataLoader(
        pictures,
        batch_sampler=_Batches(steps, size),
        num_workers=workers,
        generator=torch.Generator(),
    )
