"""What the configs of an exported MONAI bundle name for inference.

The bundle's masks are those of ``tvseg predict``: the same reading, region of interest, network and
postprocessing. Exported configs outlive refactorings: names and arguments here stay as they are.
"""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform
from torch import nn

from tvseg.data.centres import MaskEncoding, output_encoding
from tvseg.data.geometry import Box
from tvseg.data.images import pad_to_square, resize_image
from tvseg.files import write_bytes
from tvseg.inference.input.find import find_photographs
from tvseg.inference.input.read import read_photograph
from tvseg.inference.output.formats.png import grey_png
from tvseg.inference.pipeline import Ensemble, Pipeline, Segmentation
from tvseg.inference.regions import Locator, whole_pictures
from tvseg.localizer.locate import Localizer, Location
from tvseg.models.inference_form import prepare_for_inference
from tvseg.runs.cards import SegmentationCard, read_card

CARD = Path("configs", "card.json")
LOCALIZER = Path("models", "localizer.safetensors")
WEIGHTS = Path("models", "model.pt")


def card_of(bundle: str | Path) -> SegmentationCard:
    """Return the card of a bundle's network."""
    path = Path(bundle) / CARD
    return read_card(SegmentationCard, path.read_text("utf-8"), path)


def load_weights(network: nn.Module, weights: str | Path) -> nn.Module:
    """Load a file of weights, strictly, and return the network."""
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network


def ready(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network moved to a device, in the form in which predictors run it, for good."""
    network.to(device).to(memory_format=torch.channels_last).eval()
    prepare_for_inference(network)
    return network


def locator(bundle: str | Path) -> Locator:
    """Return the bundle's localizer, or take whole pictures where it has none."""
    path = Path(bundle) / LOCALIZER
    return Localizer.from_file(path).locate if path.is_file() else whole_pictures


def photographs(folder: str | Path) -> list[dict[str, str]]:
    """Return the photographs of a folder, ``image`` (a path) and ``id`` each."""
    return [{"image": str(one.path), "id": one.id} for one in find_photographs([Path(folder)])]


def prepare_photographs(
    batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **_: Any
) -> tuple[torch.Tensor, None]:
    """Return the network's input of a batch, in the memory format of predictors, and no label."""
    image: torch.Tensor = batch["image"].to(device, non_blocking=non_blocking)
    return image.contiguous(memory_format=torch.channels_last), None


class Photographd(MapTransform):  # type: ignore[misc]
    """Read photographs, cut their regions of interest and make them the network's input.

    Each becomes float32 (3, S, S); ``<key>_placing`` keeps the photograph's height and width and
    the region's row, column, height and width (0, 0, 0, 0 where there is no disc).

    Args:
        keys: Keys of paths.
        card: Of the network.
        locate: Finds regions of interest.
    """

    def __init__(self, keys: str, card: SegmentationCard, locate: Locator) -> None:
        super().__init__(keys)
        self.card, self.locate = card, locate

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the photographs read."""
        read = dict(data)
        side = self.card.settings.image_size
        for key in self.key_iterator(read):
            pixels, _ = read_photograph(Path(read[key]))
            (location,) = self.locate([pixels])
            window = location.window or Box(0, 0, 0, 0)
            region = pixels[:1, :1] if window.is_empty else window.cut(pixels)
            square = torch.from_numpy(resize_image(pad_to_square(region), side))
            read[key] = self.card.normalisation(square.permute(2, 0, 1)[None])[0]
            placing = (*pixels.shape[:2], window.row, window.col, window.height, window.width)
            read[f"{key}_placing"] = torch.tensor(placing)
        return read


class _Answered:
    """A network whose answer is known."""

    alone = True

    def __init__(self, logits: np.ndarray, encoding: MaskEncoding) -> None:
        self.logits, self.encoding, self.image_size = logits, encoding, logits.shape[-1]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.logits[None]


class LabelImaged(MapTransform):  # type: ignore[misc]
    """Make label images of logits: (structures, S, S) -> uint8 (H, W) of the photograph.

    Args:
        keys: Keys of logits.
        card: Of the network.
        placing: Key of what :class:`Photographd` keeps.
    """

    def __init__(self, keys: str, card: SegmentationCard, placing: str = "image_placing") -> None:
        super().__init__(keys)
        self.encoding, self.placing = output_encoding(card.settings), placing

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with label images."""
        made = dict(data)
        height, width, *window = (int(value) for value in made[self.placing])
        box = Box(*window)
        location = Location(None if box.is_empty else box, float("nan"), "given")
        for key in self.key_iterator(made):
            answer = _Answered(np.asarray(made[key].cpu(), np.float32), self.encoding)
            pipeline = Pipeline(Ensemble([answer]), lambda _: [location])
            (found,) = pipeline([np.zeros((height, width, 3), np.uint8)])
            if not isinstance(found, Segmentation):
                raise found
            made[key] = found.placed.labels(self.encoding)
        return made


class SaveLabeld(MapTransform):  # type: ignore[misc]
    """Write label images as ``<folder>/masks/<id>.png``.

    Args:
        keys: Keys of label images.
        folder: To write to.
    """

    def __init__(self, keys: str, folder: str | Path) -> None:
        super().__init__(keys)
        self.folder = Path(folder)

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        """Write the label images, and return the data as they are."""
        for key in self.key_iterator(dict(data)):
            write_bytes(self.folder / "masks" / f"{data['id']}.png", grey_png(data[key]))
        return data
