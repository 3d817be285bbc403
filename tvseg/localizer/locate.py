"""Where the disc is in a full photograph, and the region of interest to cut about it.

A small network looks once at the whole field. A second look, by the run's own network at a window
of two diameters, was tried and left out: on 35 photographs of two unseen centres it set centres
right by 0.03 diameters at best, but made discs up to half too large, and the masks worse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tvseg.data.field_of_view import Field, find_field, shrink
from tvseg.data.geometry import Box
from tvseg.errors import UserError
from tvseg.localizer.checkpoint import LocalizerCard, load_localizer
from tvseg.localizer.network import Sighting, sight
from tvseg.runs.folder import RunFolder
from tvseg.settings import run_name

MIN_CONFIDENCE = 0.5
"""Below this probability a photograph is said to hold no disc."""

MAX_FRAMING = 2.5
"""Largest side of a region of interest, in diameters of the disc."""

ROI_DIAMETER = 0.3
"""Least diameter of the disc, as a share of the side, in a picture that is a region of interest
already. Full photographs showed up to 0.23, regions of interest from 0.36."""


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

    window: Box | None
    confidence: float
    kind: str


class Localizer:
    """Finds discs in photographs.

    Args:
        network: A :class:`tvseg.localizer.network.LocalizerNetwork`, moved to ``device`` here.
        card: Of the network.
        device: Where to compute, in fp32.
    """

    def __init__(self, network: nn.Module, card: LocalizerCard, *, device: torch.device) -> None:
        self.card = card
        self.network = network.to(device).to(memory_format=torch.channels_last).eval()
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
            raise UserError(f"{run.path} must hold {run.localizer.name}; make it with '{command}'")
        network, card = load_localizer(run.localizer)
        about = run.info()
        name = run_name(run.settings(), about["holdout"])
        for what, own, expected in (
            ("run", card.run, name),
            ("hold-out", card.holdout, about["holdout"]),
            ("data", card.fingerprint, about["fingerprint"]),
        ):
            if own != expected:
                raise UserError(
                    f"{run.localizer} must be of the run beside it: its {what} is {own}, the run's "
                    f"is {expected}; make another with '{command}'"
                )
        return Localizer(network, card, device=device)

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
        return [
            self._location(*seen)
            for seen in zip(images, fields, sightings, confidences, strict=True)
        ]

    def _location(
        self, image: np.ndarray, field: Field, sighting: Sighting, confidence: float
    ) -> Location:
        if confidence < MIN_CONFIDENCE:
            return Location(None, confidence, "field")
        large = sighting.diameter_px >= ROI_DIAMETER * min(image.shape[:2])
        if large and not field.surrounded:
            return Location(None, confidence, "roi")
        side_px = min(self.card.framing, MAX_FRAMING) * sighting.diameter_px
        window = Box.about(sighting.row, sighting.col, side_px)
        return Location(window, confidence, "field")

    def _look(self, images: Sequence[np.ndarray], fields: Sequence[Field]) -> list[Sighting]:
        """Sightings in the photographs' own pixels."""
        side_px = self.card.image_size
        small = [
            shrink(image, field.window, side_px)
            for image, field in zip(images, fields, strict=True)
        ]
        batch = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).to(self.device)
        logits = self.network(self.card.normalisation(batch))  # (B, 1, side_px / 4, side_px / 4)
        return [
            _within(_in_photograph(sighting, field.window, side_px), image)
            for sighting, field, image in zip(sight(logits.float()), fields, images, strict=True)
        ]


def _within(sighting: Sighting, image: np.ndarray) -> Sighting:
    """The sighting, its centre moved into the photograph where it lay in the black beyond."""
    height, width = image.shape[:2]
    row, col = min(max(sighting.row, 0), height - 1), min(max(sighting.col, 0), width - 1)
    return replace(sighting, row=row, col=col)


def _in_photograph(sighting: Sighting, window: Box, side_px: int) -> Sighting:
    """A sighting in a shrunken window, in the photograph's pixels."""
    scale = window.side / side_px
    return replace(
        sighting,
        row=window.row + (sighting.row + 0.5) * scale - 0.5,
        col=window.col + (sighting.col + 0.5) * scale - 0.5,
        diameter_px=sighting.diameter_px * scale,
    )
