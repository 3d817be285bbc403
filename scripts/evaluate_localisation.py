"""Measures a run's localiser on full photographs of the centre that the run has not seen.

    python scripts/evaluate_localisation.py RUN --data ROOT --names 'X*' --centre C [--sheets DIR]

ROOT/FullField/{image,mask} hold full photographs of the benchmark's mask encoding, of which those
whose names match are taken; with --centre their discs are compared with the given regions of
interest of the same names. Confidence is tried on the same photographs without their disc: painted
over, and cropped to the half of the field without it. Prints a row a photograph and a summary.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu

from tvseg.data.cases import find_cases
from tvseg.data.centres import MaskEncoding, centres_of
from tvseg.data.geometry import Box
from tvseg.data.images import read_image, read_labels
from tvseg.device import choose_device
from tvseg.files import write_bytes
from tvseg.inference.predictor import Predictor
from tvseg.localizer.locate import Localizer, Location
from tvseg.metrics.segmentation import dice
from tvseg.runs.folder import RunFolder
from tvseg.settings import SegmentationSettings

SHEET_PX = 256


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
    middle = window.row + (window.side - 1) / 2, window.col + (window.side - 1) / 2
    inside = window.cut(photograph.disc).sum() == photograph.disc.sum()
    off_px = np.hypot(middle[0] - row, middle[1] - col)
    return result | {
        "holds": bool(inside),
        "side": window.side / diameter_px,
        "off": off_px / diameter_px,
    }


def scores(masks: np.ndarray, truth: np.ndarray) -> list[float]:
    """Dice of each structure."""
    return [dice(mask, true) for mask, true in zip(masks, truth, strict=True)]


def pasted_back(photograph: Photograph, window: Box | None, predictor: Predictor) -> np.ndarray:
    """The predicted masks in the photograph's own pixels; nothing where no disc was found."""
    if window is None:
        return np.zeros_like(photograph.masks)
    masks = predictor.masks(window.cut(photograph.image))
    whole = np.zeros_like(photograph.masks)
    inside = window.overlap(Box.frame(photograph.disc))
    whole[:, *inside.slices] = masks[:, *inside.seen_from(window).slices]
    return whole


def draw(photograph: Photograph, masks: np.ndarray, window: Box) -> np.ndarray:
    """The window of a photograph: truth in green, prediction in white."""
    picture = np.ascontiguousarray(
        cv2.resize(window.cut(photograph.image), (SHEET_PX, SHEET_PX), interpolation=cv2.INTER_AREA)
    )
    for all_masks, colour in ((photograph.masks, (0, 220, 0)), (masks, (255, 255, 255))):
        for mask in all_masks:
            small = cv2.resize(window.cut(mask).astype(np.uint8), (SHEET_PX, SHEET_PX))
            lines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, lines, -1, colour, 1)
    cv2.putText(picture, photograph.name, (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3)
    return picture


def write_sheet(path: Path, tiles: list[np.ndarray]) -> None:
    """Tiles as one PNG, seven a row."""
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % 7)
    sheet = np.vstack([np.hstack(tiles[n : n + 7]) for n in range(0, len(tiles), 7)])
    encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    write_bytes(path, encoded.tobytes())


def auroc(with_disc: list[float], without: list[float]) -> float:
    """Chance that a photograph with a disc is given more confidence than one without."""
    return float(mannwhitneyu(with_disc, without).statistic / len(with_disc) / len(without))


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--names", required=True, help="pattern of the photographs' file names")
    parser.add_argument("--centre", help="centre that holds the same eyes' regions of interest")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    given = parser.parse_args()
    run, device = RunFolder(given.run), choose_device()
    settings = run.settings()
    localizer = Localizer.from_run(run, device)
    predictor, card = Predictor.from_checkpoint(run.best, device)
    if given.centre and given.centre != card.holdout:
        raise SystemExit(f"{given.run} has not held out centre {given.centre}")
    regions = {}
    if given.centre:
        cases = find_cases(given.data, centres_of(settings)[given.centre])
        regions = {case.name: case for case in cases}
    rows, tiles = [], []
    none_left: dict[str, list[Location]] = {"painted over": [], "cropped": []}
    for photograph in read_photographs(given.data, given.names, settings):
        found, painted, cropped = localizer.locate(
            [photograph.image, painted_over(photograph), cropped_away(photograph)]
        )
        none_left["painted over"].append(painted)
        none_left["cropped"].append(cropped)
        masks = pasted_back(photograph, found.window, predictor)
        row = judge(photograph, found)
        names = settings.structures
        row |= dict(zip(names, scores(masks, photograph.masks), strict=True))
        if photograph.name in regions:
            image, truth = regions[photograph.name].read()
            given_roi = scores(predictor.masks(image), truth)
            row |= {f"{n}_given": v for n, v in zip(names, given_roi, strict=True)}
        rows.append(row)
        if found.window is not None:
            tiles.append(draw(photograph, masks, found.window))
    report(pd.DataFrame(rows), none_left)
    if given.sheets and tiles:
        write_sheet(given.sheets / f"{run.path.name}.png", tiles)


def report(table: pd.DataFrame, none_left: dict[str, list[Location]]) -> None:
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
    for how, locations in none_left.items():
        without = [location.confidence for location in locations]
        summary[f"AUROC against disc {how}"] = auroc(confident, without)
        summary[f"said to hold a disc, disc {how}"] = sum(
            location.window is not None for location in locations
        )
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
