"""One predicted photograph: masks, measurements, outlines, and the files made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import expit

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.data.laterality import Laterality
from tvseg.inference.input.find import Photograph
from tvseg.inference.measure.flags import flags
from tvseg.inference.measure.measurements import in_micrometres, measure
from tvseg.inference.pipeline import Segmentation
from tvseg.inference.placed_masks import PlacedMasks
from tvseg.inference.upsampling import Square, enlarge
from tvseg.localizer.locate import Location

Measurements = dict[str, str | int | float]


@dataclass(frozen=True)
class Prediction:
    """One predicted photograph.

    Attributes:
        photograph: Which it is.
        pixels: The photograph, uint8 (H, W, 3).
        laterality: Which eye it shows.
        segmentation: What the networks say of it.
        encoding: Of the label images to write; names the structures.
    """

    photograph: Photograph
    pixels: np.ndarray
    laterality: Laterality
    segmentation: Segmentation
    encoding: MaskEncoding

    @property
    def placed(self) -> PlacedMasks:
        """The masks in the photograph's coordinates, without the background about them."""
        return self.segmentation.placed

    @property
    def window(self) -> Box | None:
        """The region of interest, ``None`` where there is no disc."""
        return self.segmentation.location.window

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """The mask of each structure, bool (H, W)."""
        return dict(zip(self.encoding.structures, self.placed.whole(), strict=True))

    @property
    def probabilities(self) -> dict[str, np.ndarray]:
        """The probability of each structure, float32 (H, W); 0 outside the region of interest."""
        whole = np.zeros((len(self.encoding.structures), *self.pixels.shape[:2]), np.float32)
        logits, window = self.segmentation.logits, self.window
        if logits is not None and window is not None:
            shown = window.overlap(Box.frame(self.pixels))
            square = Square(window.row, window.col, window.side)
            whole[:, *shown.slices] = expit(enlarge(logits, square, shown))
        return dict(zip(self.encoding.structures, whole, strict=True))

    @property
    def contours(self) -> dict[str, list[np.ndarray]]:
        """Polygons of each structure, (x, y) in px from the first pixel's outer corner."""
        return dict(zip(self.encoding.structures, self.placed.sparse_outlines, strict=True))

    @cached_property
    def flags(self) -> list[str]:
        """Reasons to check the prediction, see :func:`tvseg.inference.measure.flags.flags`."""
        return flags(self.pixels, self.window, self.placed, self.encoding.structures)

    @cached_property
    def labels(self) -> np.ndarray:
        """The label image, uint8 (H, W).

        Raises:
            UserError: Structures combine as in no value of the encoding.
        """
        return self.placed.labels(self.encoding)

    @cached_property
    def measured_px(self) -> dict[str, float]:
        """Measurements in pixels."""
        return measure(self.placed.masks, self.encoding.structures, laterality=self.laterality)

    @cached_property
    def measurements(self) -> Measurements:
        """The row of ``measurements.csv``; every row of a run has the same columns."""
        location, window = self.segmentation.location, self.window
        height_px, width_px = self.pixels.shape[:2]
        scale = self.photograph.um_per_px
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
            "flags": "; ".join(self.flags),
        }

    def overlay(self) -> np.ndarray:
        """Draw the outlines on the photograph, uint8 (H, W, 3)."""
        from tvseg.inference.output.formats.overlay import draw_overlay

        return draw_overlay(self.pixels, self.placed, self.encoding.structures)

    def save(self, folder: str | Path, formats: Sequence[str] = ("overlay", "mask")) -> list[Path]:
        """Write files ``folder/<format's folder>/<id><suffix>``, as ``tvseg predict`` does.

        Returns:
            The files.

        Raises:
            UserError: An unknown format, or one that cannot hold the prediction.
            OSError: A file cannot be written.
        """
        from tvseg.files import write_bytes
        from tvseg.inference.output.formats import check_formats, render

        check_formats(formats)
        files = {Path(folder) / path: content for path, content in render(self, formats).items()}
        for path, content in files.items():
            write_bytes(path, content)
        return list(files)

    def _disagreement(self) -> float:
        """Return the views' standard deviation summed over the region, per area of the structures.

        So a band of doubt along an outline counts alike in a wide and in a tight region. NaN where
        there is one view only, or no structure.
        """
        spread, window = self.segmentation.disagreement, self.window
        area_px = int(self.placed.masks.any(axis=0).sum())
        if spread is None or window is None or not area_px:
            return float("nan")
        return float(spread.max(axis=0).mean()) * window.side**2 / area_px


def measurement_types(encoding: MaskEncoding) -> dict[str, type]:
    """Return the columns of the row of a photograph and their types.

    Whole numbers of the region of interest are nan where there is none.
    """
    masks = np.zeros((len(encoding.structures), 0, 0), bool)
    pixels = np.zeros((1, 1, 3), np.uint8)
    placed = PlacedMasks(masks, Box.of(masks), 1, 1)
    nothing = Segmentation(Location(None, 0.0, "field"), placed, None, None)
    row = Prediction(Photograph("", Path()), pixels, "unknown", nothing, encoding).measurements
    whole = dict.fromkeys(("roi_row", "roi_col", "roi_side"), int)
    return {name: type(value) for name, value in row.items()} | whole
