"""The deployed predictor: a photograph of the disc region -> masks at its own size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from tvseg.data.centres import MaskEncoding, output_encoding
from tvseg.data.geometry import Box
from tvseg.data.images import MIN_SIDE_PX, pad_to_square, resize_image
from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.inference.upsampling import box_above, enlarge
from tvseg.models import freeze
from tvseg.runs.checkpoint import Card, load_network
from tvseg.runs.folder import RunFolder

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

    @property
    def level(self) -> float:
        """The logit of the threshold."""
        return float(np.log(self.threshold / (1 - self.threshold)))

    def __call__(self, logits: torch.Tensor, encoding: MaskEncoding) -> np.ndarray:
        """Logits (S, H, W) -> masks, bool (S, H, W), that the encoding can write.

        A pixel of two structures that exclude each other goes to the likelier one.
        """
        above = (logits > self.level).cpu().numpy()
        for one, other in encoding.disjoint():
            first = (logits[one] >= logits[other]).cpu().numpy()
            above[one] &= first | ~above[other]
            above[other] &= ~first | ~above[one]
        pairs = zip(encoding.structures, above, strict=True)
        masks = np.stack(
            [mask if name in encoding.scattered else _one_component(mask) for name, mask in pairs]
        )
        for one, other in encoding.disjoint():  # a filled hole gives way to what lies in it
            masks[one] &= above[one] | ~masks[other]
            masks[other] &= above[other] | ~masks[one]
        if self.clip_nested:
            for inner, outer in encoding.nested():
                masks[inner] &= masks[outer]
            _make_writable(masks, logits, encoding)
        return masks

    def at_size(
        self, logits: torch.Tensor, encoding: MaskEncoding, *, side_px: int, extent: Box
    ) -> tuple[np.ndarray, int, int]:
        """Masks of logits that are enlarged to a square of some side first.

        Args:
            logits: (S, s, s), of the whole square.
            encoding: Of the structures.
            side_px: Side of the square.
            extent: What of it counts; the rest is padding.

        Returns:
            Masks, bool (S, h, w), of the part that may hold something, and its first row and
            column in the square, in px.
        """
        box = box_above(logits, self.level, side_px=side_px).overlap(extent)
        masks = np.zeros((len(logits), box.height, box.width), bool)
        if masks.size:
            masks = self(enlarge(logits, side_px=side_px, extent=box), encoding)
        return masks, box.row, box.col


class Predictor:
    """A frozen network with all that it takes to apply it to photographs.

    Args:
        network: (1, 3, S, S) -> logits (1, structures, S, S); frozen and moved to ``device`` here.
        image_size: Side S in px that the network sees.
        encoding: Of the label images to write; names the structures.
        normalisation: Of the network's input.
        device: Where to compute, in fp32.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        image_size: int,
        encoding: MaskEncoding,
        normalisation: Normalisation,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
        freeze(self.network)
        self.image_size = image_size
        self.encoding = encoding
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
            encoding=output_encoding(settings),
            normalisation=card.normalisation,
            device=device,
        )
        return predictor, card

    @torch.inference_mode()
    def batch_logits(self, images: Sequence[np.ndarray], *, flip: bool = False) -> torch.Tensor:
        """Logits of some photographs at the network's size.

        Args:
            images: uint8 (H, W, 3) each; padded to a square when they are none.
            flip: Show the network mirror images, and mirror what it says back.

        Returns:
            float32 (B, structures, S, S) on the device.
        """
        small = [resize_image(pad_to_square(image), self.image_size) for image in images]
        batch = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).to(self.device)
        batch = batch.flip(-1) if flip else batch  # (B, 3, S, S)
        logits: torch.Tensor = self.network(self.normalisation(batch)).float()
        return logits.flip(-1) if flip else logits

    def logits(self, image: np.ndarray) -> torch.Tensor:
        """:meth:`batch_logits` of one photograph: float32 (structures, S, S) on the device."""
        return self.batch_logits([image])[0]

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
        check_side(height, width)
        side = side_px or max(height, width)
        rows, cols = (round(n * side / max(height, width)) for n in (height, width))
        masks, top, left = postprocessing.at_size(
            self.logits(image), self.encoding, side_px=side, extent=Box(0, 0, rows, cols)
        )
        shape = (rows, cols) if side_px is None else (side, side)
        whole = np.zeros((len(masks), *shape), bool)
        whole[:, top : top + masks.shape[1], left : left + masks.shape[2]] = masks
        return whole


def check_side(height: int, width: int) -> None:
    """Raise ValueError unless a photograph is large enough to predict."""
    if min(height, width) < MIN_SIDE_PX:
        raise UserError(
            f"a photograph must be at least {MIN_SIDE_PX} px a side, got {width} x {height}"
        )


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
            raise UserError(f"{model} must be a run folder with {path.relative_to(model)} in it")
        return path
    if not model.is_file():
        raise UserError(f"model must be a run folder or a checkpoint file; {model} does not exist")
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
    box = Box.of(mask).slices  # most of a photograph is background
    labels, _ = ndimage.label(mask[box], structure=np.ones((3, 3)))
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    whole = np.zeros_like(mask)
    whole[box] = ndimage.binary_fill_holes(labels == largest)
    return whole
