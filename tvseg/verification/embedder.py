"""A trained face network that embeds pictures."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tvseg.device import choose_device, exact_fp32
from tvseg.errors import UserError
from tvseg.models.builder import freeze
from tvseg.runs.folder import RunFolder
from tvseg.verification.data.pictures import decode, fitted
from tvseg.verification.network import embed, load_face_network
from tvseg.verification.scoring import unit

BATCH = 256

Picture = str | os.PathLike[str] | Image.Image | np.ndarray
"""A picture of an aligned face: its file, a picture of Pillow, or uint8 (H, W, 3), RGB."""


class FaceEmbedder:
    """A frozen face network that embeds pictures.

    Args:
        path: A run folder or a checkpoint file.
        device: Name of a torch device; ``None`` chooses.
        checkpoint: ``best`` or ``last`` of a run folder.

    Attributes:
        card: Of the checkpoint.
        side_px: Side of the pictures that the network is made for.

    Raises:
        UserError: No checkpoint of 'tvseg faces train', or a damaged one.
    """

    def __init__(self, path: Path, *, device: str | None = None, checkpoint: str = "best") -> None:
        run = RunFolder(path)
        file = {"best": run.best, "last": run.last}[checkpoint] if path.is_dir() else path
        if not file.is_file():
            raise UserError(f"{path} must be a run of 'tvseg faces train' with {file.name} in it")
        self.device = choose_device(device)
        self.network, self.card = load_face_network(file)
        self.network.to(self.device)
        freeze(self.network)
        self.side_px = self.card.settings.image_size

    def embed(self, pictures: Picture | Sequence[Picture], *, flip: bool = False) -> np.ndarray:
        """Embed pictures of aligned faces; other sizes than the network's are resized.

        Args:
            pictures: A file, a picture of Pillow or uint8 (H, W, 3), RGB; or a sequence of these.
            flip: Add the embeddings of the mirror images.

        Returns:
            float64 (embedding,) for one picture, (N, embedding) for a sequence, of length 1: the
            dot product of two is their similarity, -1 to 1.

        Raises:
            UserError: A picture cannot be read.
            OSError: A file that does not exist.
        """
        if isinstance(pictures, str | os.PathLike | Image.Image | np.ndarray):
            one: np.ndarray = self.embed([pictures], flip=flip)[0]
            return one
        pixels = [fitted(_pixels_of(picture), self.side_px) for picture in pictures]
        if not pixels:
            return np.empty((0, self.card.settings.embedding))
        return unit(self(np.stack(pixels), flip=flip))

    def __call__(self, pixels: np.ndarray, *, flip: bool = False) -> np.ndarray:
        """Embed pictures of the network's size.

        Args:
            pixels: uint8 (N, S, S, 3), RGB.
            flip: Add the embeddings of the mirror images.

        Returns:
            float64 (N, embedding), not scaled to length 1.
        """
        pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        with exact_fp32(self.device):
            parts = [
                embed(
                    self.network, pictures[first : first + BATCH].to(self.device), flip=flip
                ).cpu()
                for first in range(0, len(pictures), BATCH)
            ]
        return torch.cat(parts).double().numpy()


def _pixels_of(picture: Picture) -> np.ndarray:
    if isinstance(picture, str | os.PathLike):
        try:
            return decode(Path(picture).read_bytes())
        except UserError as error:
            raise UserError(f"{picture} {error}") from error
    pixels = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UserError(
            f"a picture must be a file, a picture of Pillow or uint8 (H, W, 3), got "
            f"{pixels.dtype} {pixels.shape}"
        )
    return pixels
