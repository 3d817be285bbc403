"""Lists of pairs of pictures, in the layouts that verification sets come in.

One inner form for all: two pictures, whether both show the same person, and the fold.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvseg.errors import UserError

FOLDS = 10
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass(frozen=True)
class Pair:
    """Two pictures, whether they show the same person, and the fold they are scored in.

    Args:
        left: File below the root of the pictures, or a picture's number in a pack.
        right: The other one.
        same: Whether both show the same person.
        fold: 0 to the number of folds - 1.
    """

    left: str
    right: str
    same: bool
    fold: int


def read_pairs(path: Path) -> list[Pair]:
    """Read a list of pairs, whatever its layout.

    Args:
        path: LFW's ``pairs.txt`` or the CSV file made of it; a file of CALFW or CPLFW; the folder
            ``Protocol`` of CFP, or its ``Split/FF`` or ``Split/FP``; lines ``left right 1|-1``
            as the published code has them; or a table ``left,right,same[,fold]``.

    Returns:
        The pairs in the order of the file.

    Raises:
        UserError: The file fits none of these layouts; the message names the first odd line.
    """
    if path.is_dir():
        return _read_cfp(path)
    lines = _lines(path)
    if not lines:
        raise UserError(f"{path} must list pairs, is empty")
    first = lines[0]
    if len(first) <= 2 and all(cell.isdigit() for cell in first):
        return _read_lfw(path, lines)
    if _is_header(first):
        names = [cell.strip().lower() for cell in first]
        if {"left", "right", "same"} <= set(names):
            return _read_table(path, names, lines[1:])
        return _read_lfw_csv(path, lines[1:])
    if len(first) == 2:
        return _read_calfw(path, lines)
    if len(first) in (3, 4):
        names = ["left", "right", "same", "fold"][: max(len(line) for line in lines)]
        return _read_table(path, names, lines)
    raise UserError(
        f"{path}, line 1: must be 'left,right,same[,fold]', LFW's, CALFW's or the published code's "
        f"layout, got {' '.join(first)[:60]!r}"
    )


def _lines(path: Path) -> list[list[str]]:
    """Split each line at tabs, commas or blanks, whichever the file uses; leave out empty ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} must be a text file of pairs: {error}") from error
    rows = [line for line in text.splitlines() if line.strip(" \t,;")]
    separator = next((mark for mark in "\t,;" if rows and mark in "".join(rows[:2])), None)
    if separator is None:
        return [line.split() for line in rows]
    cells = csv.reader(rows, delimiter=separator)
    return [[cell.strip() for cell in row] for row in cells]


def _is_header(cells: Sequence[str]) -> bool:
    words = {"left", "name", "name1", "imagenum1", "right", "same"}
    return any(cell.strip().lower() in words for cell in cells)


def _read_lfw(path: Path, lines: list[list[str]]) -> list[Pair]:
    """Read ``pairs.txt``: folds of n pairs of one person each, then of n pairs of two."""
    counts = [int(cell) for cell in lines[0]]
    folds, each = (counts[0], counts[1]) if len(counts) == 2 else (1, counts[0])
    if len(lines) - 1 != 2 * folds * each:
        raise UserError(
            f"{path}, line 1: announces {folds} folds of {each} + {each} pairs, the file lists "
            f"{len(lines) - 1} pairs"
        )
    return [
        _lfw_pair(path, number, cells, fold=(number - 2) // (2 * each))
        for number, cells in enumerate(lines[1:], start=2)
    ]


def _read_lfw_csv(path: Path, lines: list[list[str]]) -> list[Pair]:
    """Read the table that is passed on for ``pairs.txt``: no counts, ten equal folds."""
    rows = [[cell for cell in line if cell] for line in lines]
    return [
        _lfw_pair(path, number, cells, fold=_fold(number - 2, len(rows)))
        for number, cells in enumerate(rows, start=2)
    ]


def _lfw_pair(path: Path, number: int, cells: Sequence[str], *, fold: int) -> Pair:
    try:
        if len(cells) == 3:
            name, first, second = cells[0], int(cells[1]), int(cells[2])
            return Pair(_lfw_file(name, first), _lfw_file(name, second), True, fold)
        name, first, other, second = cells[0], int(cells[1]), cells[2], int(cells[3])
        if len(cells) == 4:
            return Pair(_lfw_file(name, first), _lfw_file(other, second), False, fold)
    except (IndexError, ValueError):
        pass
    raise UserError(
        f"{path}, line {number}: must read 'NAME i j' or 'NAME i OTHER j', got "
        f"{' '.join(cells)[:60]!r}"
    )


def _lfw_file(name: str, number: int) -> str:
    return f"{name}/{name}_{number:04d}.jpg"


def _read_calfw(path: Path, lines: list[list[str]]) -> list[Pair]:
    """Read two lines a pair, ``FILE FLAG``: first all pairs of one person, then of two."""
    if len(lines) % 2:
        raise UserError(f"{path} must hold two lines for each pair, holds {len(lines)} lines")
    pairs = []
    for number in range(0, len(lines), 2):
        (left, flag), (right, other) = _two(path, number, lines), _two(path, number + 1, lines)
        if (flag == "0") != (other == "0"):
            raise UserError(f"{path}, line {number + 2}: both lines of a pair must be 0, or none")
        pairs.append((left, right, flag != "0"))
    counts = {same: sum(pair[2] is same for pair in pairs) for same in (True, False)}
    seen = {True: 0, False: 0}
    found = []
    for left, right, same in pairs:
        found.append(Pair(left, right, same, _fold(seen[same], counts[same])))
        seen[same] += 1
    return found


def _two(path: Path, index: int, lines: list[list[str]]) -> tuple[str, str]:
    if len(lines[index]) != 2 or not re.fullmatch(r"-?\d+", lines[index][1]):
        line = " ".join(lines[index])[:60]
        raise UserError(f"{path}, line {index + 1}: must read 'FILE NUMBER', got {line!r}")
    return lines[index][0], lines[index][1]


def _read_table(path: Path, names: Sequence[str], lines: list[list[str]]) -> list[Pair]:
    """Read ``left, right, same`` and, where there is a column for it, the fold."""
    pairs = []
    base: int | None = None
    for number, line in enumerate(lines, start=1):
        row = dict(zip(names, line, strict=False))
        if len(line) != len(names) or row["same"].lower() not in _SAME:
            raise UserError(
                f"{path}: row {number} must read {', '.join(names)} with same as 1 or 0 (-1), got "
                f"{' '.join(line)[:60]!r}"
            )
        fold = _fold(number - 1, len(lines))
        if "fold" in row:
            if not row["fold"].isdigit():
                raise UserError(f"{path}: row {number}: fold must be a number, got {row['fold']!r}")
            base = int(row["fold"]) if base is None else min(base, int(row["fold"]))
            fold = int(row["fold"])
        pairs.append(Pair(row["left"], row["right"], _SAME[row["same"].lower()], fold))
    if base:
        pairs = [Pair(p.left, p.right, p.same, p.fold - base) for p in pairs]
    return pairs


_SAME = {"1": True, "true": True, "yes": True, "0": False, "-1": False, "false": False, "no": False}


def _read_cfp(path: Path) -> list[Pair]:
    """Read CFP's protocol: ten folders of ``same.txt`` and ``diff.txt``, numbers into two lists."""
    protocol = next((p for p in (path, *path.parents) if (p / "Pair_list_F.txt").is_file()), None)
    if protocol is None:
        raise UserError(
            f"{path} must be CFP's folder Protocol, or Split/FF or Split/FP in it, with "
            "Pair_list_F.txt and Pair_list_P.txt"
        )
    split = path if path.parent.name == "Split" else protocol / "Split" / "FF"
    lists = {kind: _cfp_list(protocol / f"Pair_list_{kind}.txt") for kind in "FP"}
    right = lists[split.name[-1:].upper()] if split.name[-1:].upper() in lists else lists["F"]
    pairs = []
    for fold, folder in enumerate(sorted(p for p in split.iterdir() if p.is_dir())):
        for name, same in (("same.txt", True), ("diff.txt", False)):
            for number, cells in enumerate(_lines(folder / name), start=1):
                try:
                    files = lists["F"][cells[0]], right[cells[1]]
                except (KeyError, IndexError) as error:
                    raise UserError(
                        f"{folder / name}, line {number}: must name two pictures of the pair "
                        f"lists, got {','.join(cells)[:40]!r}"
                    ) from error
                pairs.append(Pair(*files, same, fold))
    return pairs


def _cfp_list(path: Path) -> dict[str, str]:
    """Map a number to the file below the folder that holds ``Data``."""
    return {cells[0]: cells[1].removeprefix("../") for cells in _lines(path) if len(cells) == 2}


def _fold(index: int, count: int) -> int:
    """Return the fold of a pair in equal consecutive blocks."""
    return index * FOLDS // count


def files_of(pairs: Sequence[Pair]) -> list[str]:
    """Return each picture that pairs name, once, in order."""
    return list(dict.fromkeys(name for pair in pairs for name in (pair.left, pair.right)))


def people_of(pairs: Sequence[Pair], *, person: Callable[[str], str]) -> Iterator[set[str]]:
    """Return the people of each fold.

    Args:
        pairs: With folds 0, 1, ...
        person: A picture's name -> the identity of its person, such as the name of its folder.
    """
    for fold in range(1 + max(pair.fold for pair in pairs)):
        chosen = [pair for pair in pairs if pair.fold == fold]
        yield {person(name) for name in files_of(chosen)}
