"""Compare what two versions of the package predicted and scored; used by check_old_runs.sh."""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

RENAMED: dict[str, str] = {}
"""Column of the older version -> its name today."""


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table under today's column names."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{RENAMED.get(k, k): v for k, v in row.items()} for row in csv.DictReader(file)]


def same(one: Path, other: Path) -> bool:
    """Return whether two files hold the same: the pixels of pictures, else the rows of tables."""
    if one.suffix == ".png":  # their compression may change
        first, second = (np.asarray(Image.open(path)) for path in (one, other))
        return np.array_equal(first, second)
    return table(one) == table(other)


def differences(old: Path, new: Path, patterns: tuple[str, ...]) -> list[str]:
    """Return a line per file below ``old`` that ``new`` lacks or has with other content.

    Raises:
        ValueError: if nothing below ``old`` matches one of the patterns.
    """
    lines = []
    for pattern in patterns:
        paths = sorted(old.glob(pattern))
        if not paths:
            raise ValueError(f"{old} has no {pattern}: nothing was compared")
        for path in paths:
            other = new / path.relative_to(old)
            if not other.is_file():
                lines.append(f"missing: {other}")
            elif not same(path, other):
                lines.append(f"differs: {path} {other}")
        print(f"{len(paths)} files compared: {pattern}")
    return lines


if __name__ == "__main__":
    old_outputs, new_outputs, old_runs, new_runs = map(Path, sys.argv[1:])
    found = differences(old_outputs, new_outputs, ("*/masks/*.png", "*/measurements.csv"))
    found += differences(old_runs, new_runs, ("*/eval/*/cases.csv",))
    sys.exit("\n".join(found) or 0)
