"""Where the disc is in a full photograph, and the region of interest to cut about it.

A small network looks at the whole field; the run's own network looks again at twice the disc's
diameter and sets centre and size right.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from tvseg.data.field import Field, find_field, shrink
from tvseg.data.images import resize_image
from tvseg.data.tensors import Normalisation
from tvseg.data.window import Window
from tvseg.models import freeze
from tvseg.models.localizer import Sighting, sight
from tvseg.training.checkpoint import load_network
from tvseg.training.localizer_checkpoint import LocalizerCard, load_localizer
from tvseg.training.run_folder import RunFolder

MIN_CONFIDENCE = 0.5
"""Below this probability a photograph is said to hold no disc."""

MAX_FRAMING = 2.5
"""Largest side of a region of interest, in diameters of the disc."""

ROI_DIAMETER = 0.3
"""Least diameter of the disc, as a share of the side, in a picture that is a region of interest
already. Full photographs showed up to 0.23, regions of interest from 0.36."""

_SECOND_LOOK = 2.0  # side of the window for the second look, in diameters


@dataclass(frozen=True)
class Location:
    """What was found in one photograph.

    Args:
        window: The region of interest in the photograph's pixels; ``None`` where no disc was found
            or the picture is a region of interest already.
        confidence: Calibrated probability that a disc is where it was seen, 0 to 1.
        kind: ``field`` for a full photograph, ``roi`` for a region of interest, which is to be
            used as a whole.
    """

    window: Window | None
    confidence: float
    kind: str


class Localizer:
    """Finds discs in photographs.

    Args:
        network: A :class:`tvseg.models.localizer.LocalizerNetwork`, moved to ``device`` here.
        card: Of the network.
        segmenter: The run's own network, (B, 3, S, S) -> logits (B, structures, S, S); frozen and
            moved to ``device`` here.
        segmenter_size: Side S in px.
        segmenter_normalisation: Of the segmenter's input.
        device: Where to compute, in fp32.
    """

    def __init__(
        self,
        network: nn.Module,
        card: LocalizerCard,
        *,
        segmenter: nn.Module,
        segmenter_size: int,
        segmenter_normalisation: Normalisation,
        device: torch.device,
    ) -> None:
        self.card = card
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
        self.segmenter = segmenter.to(device).to(memory_format=torch.channels_last).eval()
        freeze(self.segmenter)
        self.segmenter_size = segmenter_size
        self.segmenter_normalisation = segmenter_normalisation
        self.device = device

    @staticmethod
    def from_run(run: RunFolder | Path, device: torch.device) -> "Localizer":
        """The localiser that a run folder holds.

        Raises:
            ValueError: There is none, a damaged one, or one of another run or hold-out.
        """
        run = run if isinstance(run, RunFolder) else RunFolder(run)
        command = f"tvseg train-localizer {run.path} --data ROOT"
        if not run.localizer.is_file():
            raise ValueError(f"{run.path} must hold {run.localizer.name}; make it with '{command}'")
        network, card = load_localizer(run.localizer)
        segmenter, model = load_network(run.best)
        name = RunFolder.of(Path(), model.settings, model.holdout).path.name
        for what, own, expected in (
            ("run", card.run, name),
            ("hold-out", card.holdout, model.holdout),
            ("data", card.fingerprint, model.fingerprint),
        ):
            if own != expected:
                raise ValueError(
                    f"{run.localizer} must be of the run beside it: its {what} is {own}, the run's "
                    f"is {expected}; make another with '{command}'"
                )
        return Localizer(
            network,
            card,
            segmenter=segmenter,
            segmenter_size=model.settings.image_size,
            segmenter_normalisation=model.normalisation,
            device=device,
        )

    @torch.inference_mode()
    def locate(self, images: Sequence[np.ndarray]) -> list[Location]:
        """Find the disc in photographs, computed as one batch.

        Args:
            images: uint8 (H, W, 3) each, of any sizes.

        Returns:
            One location a photograph, in order.
        """
        if not images:
            return []
        fields = [find_field(image) for image in images]
        sightings = self._look(images, fields)
        confidences = [self.card.calibration(sighting.score) for sighting in sightings]
        sure = [confidence >= MIN_CONFIDENCE for confidence in confidences]
        kinds = [
            "roi" if is_sure and _is_region(image, field, sighting) else "field"
            for is_sure, image, field, sighting in zip(sure, images, fields, sightings, strict=True)
        ]
        seen = [n for n, kind in enumerate(kinds) if kind == "field" and sure[n]]
        again = self._look_again([images[n] for n in seen], [sightings[n] for n in seen])
        windows = {n: self._window(sighting) for n, sighting in zip(seen, again, strict=True)}
        return [
            Location(windows.get(n), confidence, kind)
            for n, (confidence, kind) in enumerate(zip(confidences, kinds, strict=True))
        ]

    def _look(self, images: Sequence[np.ndarray], fields: Sequence[Field]) -> list[Sighting]:
        """Sightings in the photographs' own pixels."""
        side_px = self.card.image_size
        small = [
            shrink(image, field.window, side_px)
            for image, field in zip(images, fields, strict=True)
        ]
        logits = self.network(self.card.normalisation(self._batch(small)))
        return [
            _within(_in_photograph(sighting, field.window, side_px), image)
            for sighting, field, image in zip(sight(logits.float()), fields, images, strict=True)
        ]

    def _look_again(
        self, images: Sequence[np.ndarray], sightings: Sequence[Sighting]
    ) -> list[Sighting]:
        """The sightings, set right where the run's own network agrees that a disc is there."""
        if not images:
            return []
        side_px = self.segmenter_size
        windows = [
            Window.about(one.row, one.col, _SECOND_LOOK * one.diameter_px) for one in sightings
        ]
        regions = [
            resize_image(window.cut(image), side_px)
            for window, image in zip(windows, images, strict=True)
        ]
        logits = self.segmenter(self.segmenter_normalisation(self._batch(regions)))
        masks = (logits > 0).any(dim=1).cpu().numpy()  # (B, S, S), whatever the structures
        return [
            _set_right(sighting, mask, window)
            for sighting, mask, window in zip(sightings, masks, windows, strict=True)
        ]

    def _window(self, sighting: Sighting) -> Window:
        side = min(self.card.framing, MAX_FRAMING) * sighting.diameter_px
        return Window.about(sighting.row, sighting.col, side)

    def _batch(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """uint8 (S, S, 3) each -> (B, 3, S, S) on the device."""
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(self.device)


def _is_region(image: np.ndarray, field: Field, sighting: Sighting) -> bool:
    large = sighting.diameter_px >= ROI_DIAMETER * min(image.shape[:2])
    return large and not field.surrounded


def _within(sighting: Sighting, image: np.ndarray) -> Sighting:
    """The sighting, its centre moved into the photograph where it lay in the black beyond."""
    height, width = image.shape[:2]
    row, col = min(max(sighting.row, 0), height - 1), min(max(sighting.col, 0), width - 1)
    return replace(sighting, row=row, col=col)


def _in_photograph(sighting: Sighting, window: Window, side_px: int) -> Sighting:
    """A sighting in a shrunken window, in the photograph's pixels."""
    scale = window.side / side_px
    return replace(
        sighting,
        row=window.row + (sighting.row + 0.5) * scale - 0.5,
        col=window.col + (sighting.col + 0.5) * scale - 0.5,
        diameter_px=sighting.diameter_px * scale,
    )


def _set_right(sighting: Sighting, mask: np.ndarray, window: Window) -> Sighting:
    """Centre and diameter of the largest spot of a mask in a window, or the sighting as it was.

    It stays as it was where there is no spot, or one that is not plainly the same thing: its
    centre outside the sighting, or its diameter less than half or more than twice as large.
    """
    labels, count = ndimage.label(mask)
    if not count:
        return sighting
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    rows, cols = ndimage.find_objects(labels)[largest - 1]
    spot = Sighting(
        row=(rows.start + rows.stop - 1) / 2,
        col=(cols.start + cols.stop - 1) / 2,
        diameter_px=float(max(rows.stop - rows.start, cols.stop - cols.start)),
        score=sighting.score,
    )
    spot = _in_photograph(spot, window, mask.shape[0])
    apart_px = np.hypot(spot.row - sighting.row, spot.col - sighting.col)
    alike = 0.5 <= spot.diameter_px / sighting.diameter_px <= 2.0
    return spot if alike and apart_px <= sighting.diameter_px / 2 else sighting
