"""Networks take the statistics of batch norm from the photographs that are to be predicted.

Source: Nado et al., Evaluating Prediction-Time Batch Normalization for Robustness under Covariate
Shift, 2020; Schneider et al., Improving Robustness against Common Corruptions by Covariate Shift
Adaptation, NeurIPS 2020.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from tvseg.data.images import resize_image
from tvseg.errors import UserError
from tvseg.inference.pipeline import Pipeline

MIN_REGIONS = 8
"""Regions below which their statistics say little of the centre."""

MAX_REGIONS = 1024
"""Regions that are held in memory; statistics of the first ones stand for those after them."""


@runtime_checkable
class Adaptable(Protocol):
    """A network whose statistics can be replaced."""

    image_size: int

    def adapt(self, images: np.ndarray) -> None:
        """Take the statistics of images, uint8 (N, S, S, 3)."""


class Adapted(NamedTuple):
    """What networks adapted to.

    Attributes:
        regions: How many regions of interest the statistics are of.
        sha256: Of the pixels of the photographs.
    """

    regions: int
    sha256: str


def adapt(pipeline: Pipeline, photographs: Iterable[np.ndarray]) -> Adapted:
    """Adapt every network of a pipeline to photographs without labels.

    What is predicted afterwards depends on which photographs these are. The localizer stays.

    Args:
        pipeline: Its networks are changed.
        photographs: uint8 (H, W, 3) each; those without a region of interest are left out.

    Returns:
        What the statistics are of.

    Raises:
        UserError: Fewer than ``MIN_REGIONS`` regions, an exported network, or one that was called
            before.
    """
    given = pipeline.ensemble.networks
    networks = [network for network in given if isinstance(network, Adaptable)]
    if len(networks) < len(given):
        raise UserError("adapting batch norm takes run folders or checkpoints, not ONNX")
    digest = hashlib.sha256()
    sizes = {network.image_size for network in networks}
    regions = (
        region
        for image in _noted(photographs, digest.update)
        for region in pipeline.regions([image])
    )
    small = [
        {size: resize_image(region, size) for size in sizes}
        for region in islice(regions, MAX_REGIONS)
    ]
    if len(small) < MIN_REGIONS:
        raise UserError(
            f"adapting batch norm takes {MIN_REGIONS} photographs or more with a region of "
            f"interest, got {len(small)}; give more, or leave --adapt out"
        )
    for network in networks:
        network.adapt(np.stack([images[network.image_size] for images in small]))
    return Adapted(len(small), digest.hexdigest())


def _noted(
    photographs: Iterable[np.ndarray], note: Callable[[bytes], None]
) -> Iterator[np.ndarray]:
    for image in photographs:
        note(f"{image.shape}".encode())
        note(image.tobytes())
        yield image
