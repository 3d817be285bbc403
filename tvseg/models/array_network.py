"""A network as a function of numpy arrays, as predictors call it."""

import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tvseg.device import exact_fp32
from tvseg.errors import UserError
from tvseg.models import freeze
from tvseg.models.batch_norm import refresh_batch_norm
from tvseg.models.inference_form import prepare_for_inference

ADAPTED_TOGETHER = 16
"""Images of a batch, at most, when statistics are taken from images."""


class ArrayNetwork:
    """A network that takes and returns numpy arrays.

    Computes in fp32 proper, without TF32, wherever it runs: what is scored is what is deployed. On
    a CPU each image is computed by itself, so that logits do not depend on what else is in a batch.

    Args:
        network: (B, 3, S, S) -> logits (B, K, S', S'); moved to ``device`` and, at the first
            call, rewritten here.
        normalisation: uint8 (B, 3, S, S) -> the network's input.
        device: Where to compute.

    Attributes:
        alone: Whether each image is computed by itself.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        normalisation: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
        self.normalisation = normalisation
        self.device = device
        self.alone = device.type == "cpu"
        self._is_prepared = False
        self._preparing = threading.Lock()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return logits, float32 (B, K, S', S'), of images, uint8 (B, S, S, 3)."""
        self.prepare()
        batches = images[:, None] if self.alone else images[None]  # (N, B, S, S, 3)
        logits = []
        with torch.inference_mode(), exact_fp32(self.device):
            for batch in batches:
                pixels = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2)
                made = self.network(self.normalisation(pixels.to(self.device)))
                logits.append(made.float().cpu().numpy())
        return np.concatenate(logits)

    def prepare(self) -> nn.Module:
        """Return the network in the form that is called, which it takes at the first call.

        See :func:`~tvseg.models.inference_form.prepare_for_inference`.
        """
        with self._preparing:
            if not self._is_prepared:
                prepare_for_inference(self.network)
                self._is_prepared = True
        return self.network

    def adapt(self, images: np.ndarray) -> None:
        """Take the statistics of batch norm from images instead of those of training.

        Batches are drawn at random from all images (fixed seed), so that each mixes the groups of a
        sorted list, such as cameras: variances are means of those within batches.

        Args:
            images: uint8 (N, S, S, 3), two or more.

        Raises:
            UserError: The network was called before; batch norms are then part of convolutions.
        """
        if self._is_prepared:
            raise UserError("a network adapts before its first call; load it again")
        order = np.random.default_rng(0).permutation(len(images))
        parts = np.array_split(order, -(-len(images) // ADAPTED_TOGETHER))
        batches = (
            torch.from_numpy(images[part]).permute(0, 3, 1, 2).to(self.device) for part in parts
        )
        freeze(self.network)
        with exact_fp32(self.device):
            refresh_batch_norm(self.network, map(self.normalisation, batches))
