"""A network of a checkpoint, run by torch; nothing else in this folder imports torch."""

from importlib.metadata import version
from pathlib import Path

import torch

from tvseg.data.centres import output_encoding
from tvseg.device import choose_device
from tvseg.models.array_network import ArrayNetwork
from tvseg.runs.segmentation import load_network


class TorchNetwork(ArrayNetwork):
    """A segmentation network, with what it takes to use it: see :class:`~.pipeline.Network`.

    Args:
        path: The checkpoint.
        device: Name of a torch device; ``None`` chooses.
        threads: That torch uses in each operator on a CPU from now on; ``None`` for no change.

    Attributes:
        card: Of the checkpoint.

    Raises:
        UserError: Not a sound checkpoint, or no such device.
    """

    def __init__(
        self, path: Path, device: str | None = None, *, threads: int | None = None
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        network, self.card = load_network(path)
        super().__init__(
            network, normalisation=self.card.normalisation, device=choose_device(device)
        )
        self.image_size = self.card.settings.image_size
        self.encoding = output_encoding(self.card.settings)
        self.engine = {"torch": version("torch")}
