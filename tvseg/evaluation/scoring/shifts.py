"""How Dice falls when the region of interest is not cut about the true disc."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from tvseg.data.cases import Case
from tvseg.errors import UserError
from tvseg.evaluation.schema import MEAN_MASK
from tvseg.evaluation.scoring.rows import Score
from tvseg.evaluation.scoring.runs import Subject, on_grid
from tvseg.files import write_text
from tvseg.metrics import dice

STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right as (rows, columns)
SHIFTS = (0.0, 0.05, 0.1, 0.2)


def shift_region(image: np.ndarray, down_px: int, right_px: int) -> np.ndarray:
    """Cut the region anew, as if its window had been moved over the photograph.

    What the photograph would show beyond the old region is not known; the picture is continued by
    its mirror image, which has the colour and texture of the retina there and no false edge.

    Args:
        image: (H, W) or (H, W, 3).
        down_px: Rows by which the window moves; negative for up. Fewer than H.
        right_px: Columns by which it moves; negative for left. Fewer than W.

    Returns:
        The same shape.
    """
    height, width = image.shape[:2]
    margins = [(max(-down_px, 0), max(down_px, 0)), (max(-right_px, 0), max(right_px, 0))]
    continued = np.pad(image, margins + [(0, 0)] * (image.ndim - 2), mode="reflect")
    top, left = max(down_px, 0), max(right_px, 0)
    return np.ascontiguousarray(continued[top : top + height, left : left + width])


def move_back(masks: np.ndarray, down_px: int, right_px: int) -> np.ndarray:
    """Return masks of a moved region in the old one's coordinates, empty where they do not overlap.

    Args:
        masks: bool (S, H, W).
        down_px: Rows by which the region was moved.
        right_px: Columns by which it was moved.

    Returns:
        bool (S, H, W).
    """
    moved = np.zeros_like(masks)
    to_rows, from_rows = _spans(down_px, masks.shape[1])
    to_columns, from_columns = _spans(right_px, masks.shape[2])
    moved[:, to_rows, to_columns] = masks[:, from_rows, from_columns]
    return moved


def evaluate_shifts(subject: Subject, *, shifts: Sequence[float] = SHIFTS) -> pd.DataFrame:
    """Score a run on regions that are moved up, down, left and right, and keep ``shifts.csv``.

    Predictions are put back into the old region and compared with the whole truth there: what a
    moved window cuts off the disc is lost, as it is to a user whose window is off.

    Args:
        subject: The run and its cases.
        shifts: Shares of the region's longer side.

    Returns:
        A row per image, structure, variant and shift: the first columns of ``cases.csv``,
        ``structure``, ``shift``, ``dice`` (mean over the four directions) and ``dice_limit``, the
        same for a perfect prediction, which loses only what the window cuts off.

    Raises:
        ValueError: A shift below 0 or of half the side and more, or a case that cannot be read.
    """
    if not shifts or not all(0 <= shift < 0.5 for shift in shifts):
        raise UserError(f"shifts must be shares of the side from 0 to below 0.5, got {shifts}")
    rows: list[Score] = []
    for case in tqdm(subject.cases, f"shifting {subject.run.path.name}", leave=False):
        for shift in shifts:
            rows += _score_moved(subject, case, shift)
    every = pd.DataFrame(rows)
    scores = ["dice", "dice_limit"]
    keys = [name for name in every.columns if name not in scores]
    table = every.groupby(keys, sort=False, dropna=False)[scores].mean().reset_index()
    write_text(subject.scoring.folder(subject.run) / "shifts.csv", table.to_csv(index=False))
    return table


def summarise_shifts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return mean Dice in % of the rows of any number of runs: over images, centres, then seeds.

    Returns:
        A row per structure and variant, and one for the limit; a column a shift.
    """
    mask = rows["variant"] == MEAN_MASK
    once = rows.assign(seed=rows["seed"].where(~mask, 0)).drop_duplicates(
        ["variant", "seed", "centre", "split", "case", "structure", "shift"]
    )
    limits = once[["centre", "split", "case", "structure", "shift", "dice_limit"]]
    limits = limits.drop_duplicates().rename(columns={"dice_limit": "dice"})
    together = pd.concat([once, limits.assign(variant="limit", seed=0)])
    keys = ["structure", "variant", "shift"]
    means = together.groupby([*keys, "seed", "centre"], sort=False)["dice"].mean()
    return 100 * means.groupby(keys, sort=False).mean().unstack("shift")


def _spans(step_px: int, length: int) -> tuple[slice, slice]:
    """Return the slices to which and from which a line of pixels moves by a step."""
    kept = max(0, length - abs(step_px))
    ahead, behind = slice(length - kept, length), slice(0, kept)
    return (ahead, behind) if step_px > 0 else (behind, ahead)


def _score_moved(subject: Subject, case: Case, shift: float) -> Iterator[Score]:
    """Yield a row per structure, variant and direction."""
    image, masks = case.read()
    protocol = subject.scoring.protocol
    truth = on_grid(masks, protocol)
    for step in STEPS if shift else STEPS[:1]:
        on_image = [round(shift * max(image.shape[:2])) * n for n in step]
        on_truth = [round(shift * max(truth.shape[1:])) * n for n in step]
        perfect = truth & move_back(np.ones_like(truth), *on_truth)
        for variant, prediction in subject.predictions(shift_region(image, *on_image)):
            masks = move_back(prediction, *on_truth)
            channels = zip(subject.card.settings.structures, masks, perfect, truth, strict=True)
            for structure, mask, best, true in channels:
                yield subject.about(case, variant) | {
                    "structure": structure,
                    "shift": shift,
                    "dice": dice(mask, true, smooth=protocol.smooth),
                    "dice_limit": dice(best, true, smooth=protocol.smooth),
                }
