"""Where the disc is in a full photograph, and the region of interest to cut about it.

A small network sees the whole field once. A second pass, by the run's segmentation network on a
window of two diameters, was tried and left out: on 35 photographs of two unseen centres it moved
centres by 0.03 diameters at best, but made discs up to half too large, and the masks worse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tvseg.data.field_of_view import find_field, shrink
from tvseg.data.geometry import Box
from tvseg.errors import UserError
from tvseg.localizer.sighting import Sighting, sight
from tvseg.runs.folder import RunFolder
from tvseg.settings import run_name

if TYPE_CHECKING:
    from tvseg.localizer.card import LocalizerCard

MIN_CONFIDENCE = 0.5
"""Below this probability a photograph is said to hold no disc."""

MAX_FRAMING = 2.5
"""Largest side of a region of interest, in diameters of the disc."""

ROI_DIAMETER = 0.3
"""Least diameter of the disc, as a share of the side, in a picture that is a region of interest
already. Full photographs showed up to 0.23, regions of interest from 0.36."""


@dataclass(frozen=True)
class Location:
    """The region of interest of one photograph.

    Attributes:
        window: The region in the photograph's pixels, the frame of the whole picture included;
            ``None`` where there is no disc.
        confidence: Calibrated probability of a disc, 0 to 1; NaN where none was searched for.
        kind: ``field`` for a full photograph, ``roi`` for a picture that is a region of interest
            already, ``given`` for a window that the user chose.
    """

    window: Box | None
    confidence: float
    kind: str


class Localizer:
    """Finds discs in photographs.

    Args:
        network: Pictures, uint8 (B, S, S, 3) -> logits of the disc, float32 (B, 1, S / 4, S / 4).
        card: Of the network.
    """

    def __init__(self, network: Callable[[np.ndarray], np.ndarray], card: "LocalizerCard") -> None:
        self.network = network
        self.card = card

    @staticmethod
    def from_run(run: RunFolder | Path, device: str | None = None) -> "Localizer":
        """Load the localizer of a run folder.

        Raises:
            UserError: There is none, a damaged one, or one of another run or hold-out.
        """
        from tvseg.localizer.checkpoint import load_localizer

        run = run if isinstance(run, RunFolder) else RunFolder(run)
        command = f"tvseg train-localizer {run.path} --data ROOT"
        if not run.localizer.is_file():
            raise UserError(f"{run.path} must hold {run.localizer.name}; make it with '{command}'")
        _, card = load_localizer(run.localizer)
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
        return Localizer.from_file(run.localizer, device)

    @staticmethod
    def from_file(path: Path, device: str | None = None) -> "Localizer":
        """Load a localizer's file.

        Raises:
            UserError: Not such a file, or a damaged one.
        """
        from tvseg.device import choose_device
        from tvseg.localizer.checkpoint import load_localizer
        from tvseg.models.array_network import ArrayNetwork

        network, card = load_localizer(path)
        on_arrays = ArrayNetwork(
            network, normalisation=card.normalisation, device=choose_device(device)
        )
        return Localizer(on_arrays, card)

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
        side_px = self.card.image_size
        small = [shrink(i, field.window, side_px) for i, field in zip(images, fields, strict=True)]
        sightings = sight(self.network(np.stack(small)))
        return [
            self._location(image, _in_photograph(sighting, field.window, side_px), field.surrounded)
            for image, field, sighting in zip(images, fields, sightings, strict=True)
        ]

    def _location(self, image: np.ndarray, sighting: Sighting, surrounded: bool) -> Location:
        confidence = self.card.calibration(sighting.score)
        if not confidence >= MIN_CONFIDENCE:  # NaN is none
            return Location(None, confidence, "field")
        height, width = image.shape[:2]
        if not surrounded and sighting.diameter_px >= ROI_DIAMETER * min(height, width):
            return Location(Box.frame(image), confidence, "roi")
        row = min(max(sighting.row, 0), height - 1)  # not in the black beyond the photograph
        col = min(max(sighting.col, 0), width - 1)
        side_px = min(self.card.framing, MAX_FRAMING) * sighting.diameter_px
        return Location(Box.about(row, col, side_px), confidence, "field")


def _in_photograph(sighting: Sighting, window: Box, side_px: int) -> Sighting:
    """Return a sighting in a shrunken window, in the photograph's pixels."""
    scale = window.side / side_px
    return replace(
        sighting,
        row=window.row + (sighting.row + 0.5) * scale - 0.5,
        col=window.col + (sighting.col + 0.5) * scale - 0.5,
        diameter_px=sighting.diameter_px * scale,
    )
