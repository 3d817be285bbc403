"""Networks whose answers are averaged, each asked for mirror images too if wanted."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import expit, logit

from tvseg.data.centres import MaskEncoding
from tvseg.data.images import pad_to_square, resize_image
from tvseg.errors import UserError
from tvseg.inference.upsampling import enlarge_whole

_CERTAIN = 1e-6  # probabilities of 0 and 1 have no logit


class Network(Protocol):
    """uint8 (B, S, S, 3) -> float32 logits (B, structures, S', S'), on numpy arrays.

    Attributes:
        image_size: Side S in px.
        encoding: Of the label images to write; names the structures.
    """

    image_size: int
    encoding: MaskEncoding

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
        squares = [pad_to_square(region) for region in regions]
        batches = {size: np.stack([resize_image(one, size) for one in squares]) for size in sizes}
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


def _describe(encoding: MaskEncoding) -> str:
    scattered = f", scattered {', '.join(sorted(encoding.scattered))}" * bool(encoding.scattered)
    return f"{', '.join(encoding.structures)} as {encoding.describe()}{scattered}"
