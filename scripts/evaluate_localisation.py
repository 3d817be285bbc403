"""Measure a run's localizer on full photographs of the centre that the run has not seen.

    python scripts/evaluate_localisation.py RUN --data ROOT --names 'X*'

ROOT/FullField/{image,mask} hold full photographs of the benchmark's mask encoding, of which those
whose names match are taken. Confidence is measured on the same photographs without their disc, too:
painted over, and cropped to the half of the field without it. Prints a row per photograph and a
summary. ``tvseg eval`` scores the same run on the regions of interest that are given.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from tvseg.data.centres import MaskEncoding
from tvseg.data.geometry import Box
from tvseg.data.images import read_image, read_labels
from tvseg.inference.load import load
from tvseg.localizer.locate import Location
from tvseg.metrics.segmentation import dice
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings


@dataclass(frozen=True)
class Photograph:
    """A full photograph: its name, pixels uint8 (H, W, 3), masks bool (structures, H, W)."""

    name: str
    image: np.ndarray
    masks: np.ndarray

    @property
    def disc(self) -> np.ndarray:
        """Of all structures together, bool (H, W)."""
        return np.asarray(self.masks.any(axis=0))

    def box(self) -> tuple[float, float, float, float]:
        """Of the disc: centre (row, col), height and width, in px."""
        box = Box.of(self.disc)
        return *box.centre, box.height, box.width


def read_photographs(root: Path, pattern: str, settings: SegmentationSettings) -> list[Photograph]:
    """The full photographs whose names match."""
    encoding = MaskEncoding(settings.encoding, settings.structures)
    found = []
    for path in sorted((root / "FullField" / "image").glob(pattern)):
        (mask,) = (root / "FullField" / "mask").glob(f"{path.stem}.*")
        found.append(Photograph(path.stem, read_image(path), encoding.decode(read_labels(mask))))
    if not found:
        raise SystemExit(f"{root / 'FullField' / 'image'} holds no photograph named {pattern}")
    return found


def painted_over(photograph: Photograph) -> np.ndarray:
    """The photograph with its disc filled in from its surroundings, at a third of its size."""
    height, width = (length // 3 for length in photograph.disc.shape)
    small = cv2.resize(photograph.image, (width, height), interpolation=cv2.INTER_AREA)
    hole = cv2.resize(photograph.disc.astype(np.uint8), (width, height))
    hole = cv2.dilate(hole, np.ones((3, 3)), iterations=round(0.15 * photograph.box()[2] / 3))
    return np.asarray(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), np.uint8)


def cropped_away(photograph: Photograph) -> np.ndarray:
    """The wider part of the photograph to the left or the right of its disc."""
    _, col, _, width_px = photograph.box()
    left, right = int(col - 0.7 * width_px), int(col + 0.7 * width_px)
    wider = slice(0, left) if left > photograph.image.shape[1] - right else slice(right, None)
    return photograph.image[:, wider]


def judge(photograph: Photograph, location: Location) -> dict[str, object]:
    """Is the disc in the window, and how well does the window fit?"""
    row, col, height_px, width_px = photograph.box()
    diameter_px = (height_px + width_px) / 2
    result = {"name": photograph.name, "kind": location.kind, "confidence": location.confidence}
    if location.window is None:
        return result | {"holds": False, "side": np.nan, "off": np.nan}
    window = location.window
    inside = window.cut(photograph.disc).sum() == photograph.disc.sum()
    off_px = np.hypot(window.centre[0] - row, window.centre[1] - col)
    return result | {
        "holds": bool(inside),
        "side": window.side / diameter_px,
        "off": off_px / diameter_px,
    }


def auroc(with_disc: list[float], without: list[float]) -> float:
    """Chance that a photograph with a disc is given more confidence than one without."""
    return float(mannwhitneyu(with_disc, without).statistic / len(with_disc) / len(without))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--names", required=True, help="pattern of the photographs' file names")
    given = parser.parse_args()
    model, settings = load(given.run), RunFolder(given.run).settings()
    if model.localizer is None:
        raise SystemExit(f"{given.run} has no localizer")
    rows = []
    without: dict[str, list[Location]] = {"painted over": [], "cropped": []}
    for photograph in read_photographs(given.data, given.names, settings):
        segmentation = model(photograph.image).segmentation
        painted, cropped = model.pipeline.locate(
            [painted_over(photograph), cropped_away(photograph)]
        )
        without["painted over"].append(painted)
        without["cropped"].append(cropped)
        masks = segmentation.placed.whole()
        scores = [dice(mask, true) for mask, true in zip(masks, photograph.masks, strict=True)]
        row = judge(photograph, segmentation.location)
        rows.append(row | dict(zip(settings.structures, scores, strict=True)))
    report(pd.DataFrame(rows), without)


def report(table: pd.DataFrame, without: dict[str, list[Location]]) -> None:
    """Print the rows and their summary."""
    print(table.to_string(index=False, float_format="%.3f"))
    good = table.holds & (table.side <= 2.5)
    summary = {
        "photographs": len(table),
        "whole disc, side at most 2.5 diameters": int(good.sum()),
        "mean distance of the centres in diameters": float(table.off.mean()),
        "mean side in diameters": float(table.side.mean()),
    }
    scored = table.drop(columns=["name", "kind", "confidence", "holds", "side", "off"])
    summary |= {f"mean Dice of {name}": value for name, value in scored.mean().items()}
    confident = table.confidence.tolist()
    for how, locations in without.items():
        doubtful = [location.confidence for location in locations]
        summary[f"AUROC against disc {how}"] = auroc(confident, doubtful)
        summary[f"said to hold a disc, disc {how}"] = sum(
            location.window is not None for location in locations
        )
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
