"""All that is known of one predicted photograph: what writers and tables read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tvseg.data.centres import MaskEncoding
from tvseg.data.laterality import Laterality
from tvseg.inference.input.find import Photograph
from tvseg.inference.input.read import Picture
from tvseg.inference.measure.flags import flags
from tvseg.inference.measure.measurements import in_micrometres, measure
from tvseg.inference.pipeline import Finding
from tvseg.inference.placed_masks import PlacedMasks

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Prediction:
    """One predicted photograph.

    Attributes:
        photograph: Which it is.
        picture: Its pixels.
        finding: What was found in it.
        encoding: Of the label images to write; names the structures.
    """

    photograph: Photograph
    picture: Picture
    finding: Finding
    encoding: MaskEncoding

    @property
    def pixels(self) -> np.ndarray:
        """The photograph, uint8 (H, W, 3)."""
        return self.picture.pixels

    @property
    def placed(self) -> PlacedMasks:
        """The masks in the photograph's own coordinates."""
        return self.finding.placed

    @property
    def laterality(self) -> Laterality:
        """Which eye: as the list says, else as the file says."""
        listed = self.photograph.laterality
        return self.picture.laterality if listed == "unknown" else listed

    @cached_property
    def labels(self) -> np.ndarray:
        """The label image, uint8 (H, W).

        Raises:
            ValueError: Structures combine as in no value of the encoding.
        """
        return self.placed.labels(self.encoding)

    @cached_property
    def measured_px(self) -> dict[str, float]:
        """Measurements in pixels."""
        return measure(self.placed.masks, self.encoding.structures, laterality=self.laterality)

    def row(self) -> Row:
        """The row of ``measurements.csv``; every row of a run has the same columns."""
        location, window = self.finding.location, self.finding.window
        height_px, width_px = self.pixels.shape[:2]
        scale = self.photograph.um_per_px
        found = flags(self.pixels, window, self.placed, self.encoding.structures)
        return {
            "id": self.photograph.id,
            "path": str(self.photograph.path),
            "width_px": width_px,
            "height_px": height_px,
            "laterality": self.laterality,
            "um_per_px": float("nan") if scale is None else scale,
            "roi_kind": location.kind,
            "roi_row": float("nan") if window is None else window.row,
            "roi_col": float("nan") if window is None else window.col,
            "roi_side": float("nan") if window is None else window.side,
            "roi_confidence": location.confidence,
            **self.measured_px,
            **in_micrometres(self.measured_px, scale),
            "disagreement": self._disagreement(),
            "flags": "; ".join(found),
        }

    def _disagreement(self) -> float:
        """How far the views are apart, summed over the region, a share of the structures' area.

        So a band of doubt along an outline counts alike in a wide and in a tight region. NaN where
        there is one view only, or nothing was found.
        """
        apart, window = self.finding.disagreement, self.finding.window
        area_px = int(self.placed.masks.any(axis=0).sum())
        if apart is None or window is None or not area_px:
            return float("nan")
        return float(apart.max(axis=0).mean()) * window.side**2 / area_px
