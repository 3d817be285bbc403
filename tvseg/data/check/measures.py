"""Measures of cases as tables: a row a case, and summaries a centre."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tvseg.data.centres import Centre, MaskEncoding
from tvseg.data.check.examine import Examination


def framed(encoding: MaskEncoding) -> str:
    """Return what the framing is measured on: the structure that holds all others, or all."""
    inner = {pair[0] for pair in encoding.nested()}
    outermost = [name for index, name in enumerate(encoding.structures) if index not in inner]
    return outermost[0] if len(outermost) == 1 else "marked region"


def case_table(examined: Sequence[Examination]) -> pd.DataFrame:
    """One row a case: its name, sizes, shares, pieces, colour and framing."""
    return pd.DataFrame([_row(one) for one in examined])


def count_table(examined: Sequence[Examination], centres: Mapping[str, Centre]) -> pd.DataFrame:
    """One row a centre and split: cases, range of sides, values that masks hold. Cells are text."""
    rows = []
    for centre, split, group in _splits(examined):
        sides = [side for one in group for side in (one.height_px, one.width_px)]
        values = sorted({value for one in group for value in one.values})
        rows.append({
            "Centre": centre,
            "Name": centres[centre].name,
            "Split": split,
            "Cases": str(len(group)),
            "Sides [px]": f"{min(sides)} - {max(sides)}",
            "Mask values": ", ".join(map(str, values)),
        })  # fmt: skip
    return pd.DataFrame(rows)


def structure_table(examined: Sequence[Examination]) -> pd.DataFrame:
    """One row a centre, split and structure: share of the area, masks without it or in pieces."""
    rows = []
    for centre, split, group in _splits(examined):
        for index, name in enumerate(group[0].case.centre.encoding.structures):
            shares = [100 * one.shares[index] for one in group]
            pieces = [one.pieces[index] for one in group]
            rows.append({
                "Centre": centre,
                "Split": split,
                "Structure": name,
                "Share of area [%]": _spread(shares, 1),
                "Lacking": str(sum(count == 0 for count in pieces)),
                "In pieces": str(sum(count > 1 for count in pieces)),
            })  # fmt: skip
    return pd.DataFrame(rows)


def appearance_table(examined: Sequence[Examination]) -> pd.DataFrame:
    """One row a centre: brightness, colour, framing."""
    rows = []
    for centre in dict.fromkeys(one.case.centre.letter for one in examined):
        group = [one for one in examined if one.case.centre.letter == centre]
        name = framed(group[0].case.centre.encoding)
        off = [100 * float(np.hypot(*one.offset)) for one in group]
        rows.append({
            "Centre": centre,
            "Brightness": _spread([one.brightness for one in group], 0),
            "R, G, B": ", ".join(
                f"{np.mean([one.colour[channel] for one in group]):.0f}" for channel in range(3)
            ),
            f"{name.capitalize()} / side": _spread([one.extent for one in group], 2),
            "Off middle [%]": _spread(off, 0),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _splits(
    examined: Sequence[Examination],
) -> list[tuple[str, str, list[Examination]]]:
    groups: dict[tuple[str, str], list[Examination]] = {}
    for one in examined:
        groups.setdefault((one.case.centre.letter, one.case.split), []).append(one)
    return [(centre, split, group) for (centre, split), group in groups.items()]


def _row(one: Examination) -> dict[str, object]:
    case, structures = one.case, one.case.centre.encoding.structures
    row: dict[str, object] = {
        "centre": case.centre.letter,
        "split": case.split,
        "name": case.name,
        "height_px": one.height_px,
        "width_px": one.width_px,
    }
    for name, share, pieces in zip(structures, one.shares, one.pieces, strict=True):
        row |= {f"{name}_share": share, f"{name}_pieces": pieces}
    row |= dict(zip(("red", "green", "blue"), one.colour, strict=True))
    return row | {
        "brightness": one.brightness,
        "contrast": one.contrast,
        "extent": one.extent,
        "offset_row": one.offset[0],
        "offset_col": one.offset[1],
    }


def _spread(values: Sequence[float], digits: int) -> str:
    """Median and, in brackets, the range of nine in ten."""
    known = np.array(values)[np.isfinite(values)]
    if not len(known):
        return "-"
    low, middle, high = np.percentile(known, (5, 50, 95))
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
