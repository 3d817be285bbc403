"""From photographs to masks in their coordinates: find the region, segment it, place it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import expit, logit

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.data.images import MIN_SIDE_PX, resize_image
from tvseg.errors import UserError
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.postprocessing import Postprocessing
from tvseg.inference.regions import Locator
from tvseg.inference.upsampling import Square, box_above, enlarge, enlarge_whole
from tvseg.localizer.locate import Location

MAX_REGION = 2
"""Largest side of a region of interest, as a multiple of the photograph's longer side."""

_CERTAIN = 1e-6  # probabilities of 0 and 1 have no logit


class Network(Protocol):
    """uint8 (B, S, S, 3) -> float32 logits (B, structures, S', S'), on numpy arrays.

    Attributes:
        image_size: Side S in px.
        encoding: Of the label images to write; names the structures.
        alone: Whether logits of an image do not depend on what else is in the batch, and threads
            may call at the same time.
    """

    image_size: int
    encoding: MaskEncoding
    alone: bool

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return logits of images."""


class Opinion(NamedTuple):
    """What an ensemble says of some regions.

    Attributes:
        logits: float32 (B, S, s, s), of the mean probability.
        disagreement: float32 (B, S, s, s), the standard deviation of the probabilities, 0 to 0.5;
            ``None`` where there is one view only.
    """

    logits: np.ndarray
    disagreement: np.ndarray | None


class Ensemble:
    """Networks whose probabilities are averaged.

    Args:
        networks: At least one; they must agree in structures and encoding.
        mirror: Average with the answers to mirror images (test-time augmentation).

    Raises:
        UserError: The networks do not agree.
    """

    def __init__(self, networks: Sequence[Network], *, mirror: bool = False) -> None:
        self.networks = tuple(networks)
        self.encoding = self.networks[0].encoding
        self.flips = (1, -1) if mirror else (1,)
        for other in (network.encoding for network in self.networks[1:]):
            if other != self.encoding:
                raise UserError(
                    "runs of an ensemble must agree in structures and encoding, got "
                    f"{_describe(self.encoding)} and {_describe(other)}"
                )

    def __call__(self, regions: Sequence[np.ndarray]) -> Opinion:
        """Segment regions, uint8 (H, W, 3) each, as one batch; others than squares are padded."""
        sizes = {network.image_size for network in self.networks}
        batches = {size: np.stack([resize_image(one, size) for one in regions]) for size in sizes}
        views = [
            network(batches[network.image_size][:, :, ::flip])[..., ::flip]
            for network in self.networks
            for flip in self.flips
        ]
        if len(views) == 1:
            return Opinion(views[0], None)
        side = max(view.shape[-1] for view in views)
        probabilities = np.stack([expit(enlarge_whole(view, side)) for view in views])
        mean = probabilities.mean(axis=0).clip(_CERTAIN, 1 - _CERTAIN)
        return Opinion(logit(mean), probabilities.std(axis=0))


@dataclass(frozen=True)
class Segmentation:
    """What the networks say of one photograph.

    Attributes:
        location: The region of interest that they saw.
        placed: The masks.
        logits: float32 (S, s, s) of the region made square; ``None`` without a region.
        disagreement: float32 (S, s, s) of the region made square, see
            :class:`Opinion`; ``None`` where there is one view only, or no region.
    """

    location: Location
    placed: PlacedMasks
    logits: np.ndarray | None
    disagreement: np.ndarray | None


@dataclass(frozen=True)
class Pipeline:
    """Applies an ensemble to photographs.

    Attributes:
        ensemble: Segments regions.
        locate: Finds the region of each photograph.
        postprocessing: How probabilities become masks.
        grid_px: Side of the square grid on which masks are made, on which the photograph's longer
            side lies; ``None`` for the photograph's own pixels.
    """

    ensemble: Ensemble
    locate: Locator
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    grid_px: int | None = None

    @property
    def alone(self) -> bool:
        """Whether results do not depend on the batch, and threads may call at the same time."""
        return all(network.alone for network in self.ensemble.networks)

    @property
    def encoding(self) -> MaskEncoding:
        """Of the label images to write; names the structures."""
        return self.ensemble.encoding

    def __call__(self, images: Sequence[np.ndarray]) -> list[Segmentation | UserError]:
        """Segment photographs as one batch.

        Args:
            images: uint8 (H, W, 3) each, of any sizes.

        Returns:
            A segmentation a photograph, in order, or why there is none.
        """
        results: dict[int, Segmentation | UserError] = {}
        for number, image in enumerate(images):
            if min(image.shape[:2]) < MIN_SIDE_PX:
                results[number] = _too_small(image)
        sound = [number for number in range(len(images)) if number not in results]
        locations = dict(zip(sound, self.locate([images[n] for n in sound]), strict=True))
        windows: dict[int, Box] = {}
        regions: list[np.ndarray] = []
        for number, location in locations.items():
            try:
                if location.window is None:
                    results[number] = self._nothing(location, images[number])
                else:
                    regions.append(_cut(images[number], location.window))
                    windows[number] = location.window
            except UserError as error:
                results[number] = error
        if regions:
            logits, disagreement = self.ensemble(regions)
            for index, (number, window) in enumerate(windows.items()):
                results[number] = Segmentation(
                    locations[number],
                    self._place(logits[index], window, images[number]),
                    logits[index],
                    None if disagreement is None else disagreement[index],
                )
        return [results[number] for number in range(len(images))]

    def regions(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the regions of interest of photographs, without those that have none.

        Args:
            images: uint8 (H, W, 3) each, of any sizes.
        """
        sound = [image for image in images if min(image.shape[:2]) >= MIN_SIDE_PX]
        found = []
        for image, location in zip(sound, self.locate(sound), strict=True):
            with suppress(UserError):
                found += [] if location.window is None else [_cut(image, location.window)]
        return found

    def _nothing(self, location: Location, image: np.ndarray) -> Segmentation:
        masks = np.zeros((len(self.encoding.structures), 0, 0), bool)
        placed = PlacedMasks(masks, Box.of(masks), *self._shape(image))
        return Segmentation(location, placed, None, None)

    def _place(self, logits: np.ndarray, window: Box, image: np.ndarray) -> PlacedMasks:
        """Make masks of a region's logits, (S, s, s), in the photograph's grid."""
        longer = max(image.shape[:2])
        side = self.grid_px or longer
        square = Square(*(n * side / longer for n in (window.row, window.col, window.side)))
        rows, cols = (round(n * side / longer) for n in image.shape[:2])
        box = box_above(logits, self.postprocessing.level, square)
        if self.postprocessing.shape == "ellipse" and not box.is_empty:
            box = square.box  # an ellipse may reach beyond what it is made of
        box = box.overlap(Box(0, 0, rows, cols))
        masks = np.zeros((len(logits), box.height, box.width), bool)
        if not box.is_empty:
            masks = self.postprocessing(enlarge(logits, square, box), self.encoding)
        return PlacedMasks(masks, box, *self._shape(image))

    def _shape(self, image: np.ndarray) -> tuple[int, int]:
        """Return rows and columns of the grid."""
        height, width = image.shape[:2]
        return (height, width) if self.grid_px is None else (self.grid_px, self.grid_px)


def _too_small(image: np.ndarray) -> UserError:
    height, width = image.shape[:2]
    return UserError(
        f"a photograph must be at least {MIN_SIDE_PX} px a side, got {width} x {height}"
    )


def _cut(image: np.ndarray, window: Box) -> np.ndarray:
    if window.side > MAX_REGION * max(image.shape[:2]):
        raise UserError(
            f"a region of interest must be at most {MAX_REGION} times as large as its photograph "
            f"of {image.shape[1]} x {image.shape[0]} px, got {window.side} px a side"
        )
    return window.cut(image)


def _describe(encoding: MaskEncoding) -> str:
    scattered = f", scattered {', '.join(sorted(encoding.scattered))}" * bool(encoding.scattered)
    return f"{', '.join(encoding.structures)} as {encoding.describe()}{scattered}"
