"""Looks at a data root before anything is trained on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tvseg.data.cases import SPLITS, Case, find_cases
from tvseg.data.centres import Centre
from tvseg.data.identity import pixel_hash


@dataclass(frozen=True)
class SplitFacts:
    """One centre's split: cases, range of sides, mean share of each structure in the area."""

    centre: str
    split: str
    cases: int
    smallest_px: int
    largest_px: int
    shares: dict[str, float]


@dataclass(frozen=True)
class Report:
    """What was found: facts to look at, problems to mend, and folders that are no centre."""

    facts: list[SplitFacts]
    problems: list[str]
    left_alone: list[str]


def check_data(root: Path, centres: Mapping[str, Centre]) -> Report:
    """Read every case of every centre once.

    Args:
        root: Data root.
        centres: The centres to expect, by letter.

    Returns:
        Facts and problems; an unreadable or wrong case is a problem, not an error.
    """
    facts: list[SplitFacts] = []
    problems: list[str] = []
    seen: dict[str, Case] = {}
    for centre in centres.values():
        try:
            cases = find_cases(root, centre)
        except ValueError as error:
            problems.append(str(error))
            continue
        for split in SPLITS:
            chosen = [case for case in cases if case.split == split]
            facts += _check_split(centre, split, chosen, problems, seen)
    folders = {centre.folder for centre in centres.values()}
    others = [path.name for path in sorted(root.iterdir()) if path.is_dir()]
    return Report(facts, problems, [name for name in others if name not in folders])


def _check_split(
    centre: Centre, split: str, cases: list[Case], problems: list[str], seen: dict[str, Case]
) -> list[SplitFacts]:
    sides: list[int] = []
    shares = dict.fromkeys(centre.encoding.structures, 0.0)
    for case in tqdm(cases, f"{centre.letter} {split}", leave=False):
        try:
            image, masks = case.read()
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        sides += image.shape[:2]
        for name, mask in zip(centre.encoding.structures, masks, strict=True):
            shares[name] += float(mask.mean())
            if not mask.any():
                problems.append(f"{case.mask_path}: no pixel of {name}")
        twin = seen.setdefault(pixel_hash(image), case)
        if twin is not case:
            problems.append(f"same pixels twice: {twin.image_path} and {case.image_path}")
    if not sides:
        return []
    count = len(sides) // 2
    means = {name: shares[name] / count for name in centre.encoding.structures}
    return [SplitFacts(centre.letter, split, count, min(sides), max(sides), means)]
