"""The deployed predictor: a photograph of the disc region -> masks at its own size."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from tvseg.data.centres import MaskEncoding
from tvseg.data.images import MIN_SIDE_PX, pad_to_square, resize_image
from tvseg.data.tensors import Normalisation
from tvseg.models import freeze
from tvseg.training.checkpoint import Card, load_network
from tvseg.training.run_folder import RunFolder

CHECKPOINTS = ("best", "last")


@dataclass(frozen=True)
class Postprocessing:
    """How probabilities become masks.

    Attributes:
        threshold: A pixel belongs to a structure when its probability is above this.
        clip_nested: Cut each inner structure at its outer one's outline, the cup at the disc's, and
            give what the encoding still cannot write to the likeliest structures that it can.

    Of each structure that is not scattered the largest 8-connected component is kept, and its holes
    are filled where no structure lies that excludes it.
    """

    threshold: float = 0.5
    clip_nested: bool = True

    def __call__(
        self, logits: torch.Tensor, encoding: MaskEncoding, scattered: Collection[str] = ()
    ) -> np.ndarray:
        """Logits (S, H, W) -> masks, bool (S, H, W), that the encoding can write.

        A pixel of two structures that exclude each other goes to the likelier one. ``scattered``
        names the structures that may lie in several pieces.
        """
        level = float(np.log(self.threshold / (1 - self.threshold)))
        above = (logits > level).cpu().numpy()
        for one, other in encoding.disjoint():
            first = (logits[one] >= logits[other]).cpu().numpy()
            above[one] &= first | ~above[other]
            above[other] &= ~first | ~above[one]
        pairs = zip(encoding.structures, above, strict=True)
        masks = np.stack([m if name in scattered else _one_component(m) for name, m in pairs])
        for one, other in encoding.disjoint():  # a filled hole gives way to what lies in it
            masks[one] &= above[one] | ~masks[other]
            masks[other] &= above[other] | ~masks[one]
        if self.clip_nested:
            for inner, outer in encoding.nested():
                masks[inner] &= masks[outer]
            _make_writable(masks, logits, encoding)
        return masks


class Predictor:
    """A frozen network with all that it takes to apply it to photographs.

    Args:
        network: (1, 3, S, S) -> logits (1, structures, S, S); frozen and moved to ``device`` here.
        image_size: Side S in px that the network sees.
        encoding: Of the label images to write; names the structures.
        normalisation: Of the network's input.
        device: Where to compute, in fp32.
        scattered: Structures that may lie in several pieces.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        image_size: int,
        encoding: MaskEncoding,
        normalisation: Normalisation,
        device: torch.device,
        scattered: Collection[str] = (),
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
        freeze(self.network)
        self.image_size = image_size
        self.encoding = encoding
        self.scattered = scattered
        self.normalisation = normalisation
        self.device = device

    @staticmethod
    def from_checkpoint(path: Path, device: torch.device) -> tuple["Predictor", Card]:
        """Rebuild a predictor from a checkpoint file.

        Raises:
            ValueError: Not a sound checkpoint.
        """
        network, card = load_network(path)
        settings = card.settings
        predictor = Predictor(
            network,
            image_size=settings.image_size,
            encoding=MaskEncoding(settings.encoding, settings.structures),
            normalisation=card.normalisation,
            device=device,
            scattered=settings.scattered,
        )
        return predictor, card

    @torch.inference_mode()
    def logits(self, image: np.ndarray) -> torch.Tensor:
        """Logits of one photograph at the network's size.

        Args:
            image: uint8 (H, W, 3); padded to a square when it is none.

        Returns:
            float32 (structures, S, S) on the device.
        """
        small = resize_image(pad_to_square(image), self.image_size)
        batch = torch.from_numpy(small).permute(2, 0, 1)[None].to(self.device)  # (1, 3, S, S)
        logits: torch.Tensor = self.network(self.normalisation(batch))
        return logits[0].float()

    def masks(
        self,
        image: np.ndarray,
        *,
        postprocessing: Postprocessing = Postprocessing(),
        side_px: int | None = None,
    ) -> np.ndarray:
        """Masks of one photograph.

        Args:
            image: uint8 (H, W, 3), at least 32 px a side.
            postprocessing: How probabilities become masks.
            side_px: Side of the square grid to return, ``None`` for the photograph's own.

        Returns:
            bool (structures, H, W), or (structures, side_px, side_px).

        Raises:
            ValueError: The photograph is too small.
        """
        height, width = image.shape[:2]
        if min(height, width) < MIN_SIDE_PX:
            raise ValueError(
                f"a photograph must be at least {MIN_SIDE_PX} px a side, got {width} x {height}"
            )
        logits = self.logits(image)
        side = side_px or max(height, width)
        enlarged = F.interpolate(logits[None], size=(side, side), mode="bilinear")[0]
        rows, columns = (round(n * side / max(height, width)) for n in (height, width))
        if side_px is None:
            enlarged = enlarged[:, :rows, :columns]
        enlarged[:, rows:] = enlarged[:, :, columns:] = -torch.inf  # there is only padding
        return postprocessing(enlarged, self.encoding, self.scattered)


def find_checkpoint(model: Path, checkpoint: str = "best") -> Path:
    """The checkpoint file that a user's ``--model`` means.

    Args:
        model: A run folder, or a checkpoint file.
        checkpoint: ``best`` or ``last`` of a run folder.

    Raises:
        ValueError: There is no such file.
    """
    if model.is_dir():
        run = RunFolder(model)
        path = {"best": run.best, "last": run.last}[checkpoint]
        if not path.is_file():
            raise ValueError(f"{model} must be a run folder with {path.relative_to(model)} in it")
        return path
    if not model.is_file():
        raise ValueError(f"model must be a run folder or a checkpoint file; {model} does not exist")
    return model


def _make_writable(masks: np.ndarray, logits: torch.Tensor, encoding: MaskEncoding) -> None:
    """Change the pixels whose structures belong together in no value, in place.

    Each gets the value whose structures are the likeliest, taken as independent.
    """
    allowed = np.array([[name in names for name in encoding.structures]
                        for names in encoding.values.values()])  # (values, S)  # fmt: skip
    bits = 1 << np.arange(len(encoding.structures))
    strange = ~np.isin(np.tensordot(bits, masks.astype(np.int64), axes=1), allowed @ bits)
    if strange.any():
        here = logits.cpu().numpy()[:, strange].astype(np.float64)  # (S, N)
        likeliest = np.argmax(allowed @ np.clip(here, -1e6, 1e6), axis=0)
        masks[:, strange] = allowed[likeliest].T


def _one_component(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected component of a mask, bool (H, W), its holes filled."""
    if not mask.any():
        return mask
    (box,) = ndimage.find_objects(mask.astype(np.uint8))  # most of a photograph is background
    labels, _ = ndimage.label(mask[box], structure=np.ones((3, 3)))
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    whole = np.zeros_like(mask)
    whole[box] = ndimage.binary_fill_holes(labels == largest)
    return whole
