"""A network of a checkpoint, run by torch; nothing else in this folder imports torch."""

from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from tvseg.data.centres import MaskEncoding, output_encoding
from tvseg.data.normalisation import Normalisation
from tvseg.device import choose_device
from tvseg.models.array_network import ArrayNetwork
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.segmentation import load_network


class TorchNetwork(ArrayNetwork):
    """uint8 (B, S, S, 3) -> logits float32 (B, structures, S, S), with what it takes to use them.

    Args:
        network: Frozen and moved to the device here.
        image_size: Side S in px that the network takes.
        encoding: Of the label images to write; names the structures.
        normalisation: Of the network's input.
        device: Name of a torch device; ``None`` chooses.

    Raises:
        UserError: No such device.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        image_size: int,
        encoding: MaskEncoding,
        normalisation: Normalisation,
        device: str | None = None,
    ) -> None:
        super().__init__(network, normalisation=normalisation, device=choose_device(device))
        self.image_size = image_size
        self.encoding = encoding
        self.engine = {"torch": version("torch")}

    @staticmethod
    def from_checkpoint(
        path: Path, device: str | None = None, *, threads: int | None = None
    ) -> tuple["TorchNetwork", SegmentationCard]:
        """Rebuild a network from a checkpoint file.

        Args:
            path: Of the file.
            device: Name of a torch device; ``None`` chooses.
            threads: That torch uses in each operator on a CPU from now on; ``None`` for no change.

        Raises:
            UserError: Not a sound checkpoint, or no such device.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        network, card = load_network(path)
        built = TorchNetwork(
            network,
            image_size=card.settings.image_size,
            encoding=output_encoding(card.settings),
            normalisation=card.normalisation,
            device=device,
        )
        return built, card
