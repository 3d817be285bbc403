"""One picture of how centres differ: a row a centre, the same axes in every row."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tvseg.data.centres import Centre
from tvseg.data.check.examine import Examination, Sums
from tvseg.data.check.measures import framed
from tvseg.errors import UserError
from tvseg.files import write_bytes

COLUMNS = ("mean photograph", "masks", "red, green, blue", "brightness", "size of {}",
           "middle of {}")  # fmt: skip
COLOURS = ("deepskyblue", "orange", "violet", "yellow", "lime", "tomato", "white", "turquoise")
ROW_INCHES, COLUMN_INCHES = 2.1, 2.6


def draw_sheet(
    path: Path,
    examined: Sequence[Examination],
    sums: Mapping[str, Sums],
    centres: Mapping[str, Centre],
) -> None:
    """Draw mean photograph, mean masks, colours, brightness, size and position for each centre.

    Args:
        path: PNG file to write.
        examined: Measures of each readable case.
        sums: Added up over these, by centre letter.
        centres: By letter.

    Raises:
        ValueError: No case could be read.
        OSError: The file cannot be written.
    """
    letters = [letter for letter, added in sums.items() if added.cases]
    if not letters:
        raise UserError("a sheet needs at least one case that can be read; there is none")
    size = (COLUMN_INCHES * len(COLUMNS), ROW_INCHES * len(letters) + 0.4)
    style: dict[Any, Any] = {"font.size": 8, "axes.titlesize": 9}
    style["text.parse_math"] = False  # a "$" in a name is a dollar sign
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(letters), len(COLUMNS), squeeze=False)
        for row, letter in zip(grid, letters, strict=True):
            mine = [one for one in examined if one.case.centre.letter == letter]
            _draw_centre(row, centres[letter], sums[letter], mine)
        _share_axes(grid, framed(centres[letters[0]].encoding))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())


def _draw_centre(
    row: Sequence[Axes], centre: Centre, sums: Sums, examined: Sequence[Examination]
) -> None:
    picture, masks, colours, brightness, extent, position = row
    picture.imshow(np.clip(sums.image / sums.cases / 255, 0, 1))
    sides_px = [max(one.height_px, one.width_px) for one in examined]
    size = f"{sums.cases} cases, {min(sides_px)} - {max(sides_px)} px"
    name = shorten(f"{centre.letter}: {centre.name}", 28, placeholder=" ...")
    picture.set_ylabel(f"{name}\n{size}", fontsize=8)
    _draw_masks(masks, sums.masks / sums.cases, centre.encoding.structures)
    for axes in (picture, masks):
        axes.set_xticks([])
        axes.set_yticks([])
    values = np.arange(64) * 4 + 2
    for name, histogram in zip(("tab:red", "tab:green", "tab:blue"), sums.colours, strict=True):
        colours.plot(values, 100 * histogram / sums.cases, color=name, linewidth=1)
    _histogram(brightness, [one.brightness for one in examined], (0, 255))
    _histogram(extent, [one.extent for one in examined], (0, 1))
    offsets = np.array([one.offset for one in examined])  # (N, 2), rows then columns
    position.scatter(offsets[:, 1], offsets[:, 0], s=4, alpha=0.5, color="tab:gray")
    position.plot(0, 0, "+", color="tab:red")


def _draw_masks(axes: Axes, shares: np.ndarray, structures: Sequence[str]) -> None:
    """Each structure in a colour of its own, more so where more masks have it; lines at a half."""
    blend = np.zeros((*shares.shape[1:], 3))
    for index in np.argsort(-shares.sum(axis=(1, 2))):  # the largest first, small ones upon it
        share, colour = shares[index], COLOURS[index % len(COLOURS)]
        opacity = 0.7 * (share / max(share.max(), 1e-9))[..., None]
        blend = (1 - opacity) * blend + opacity * np.array(to_rgb(colour))
        if share.max() > 0.5 > share.min():
            axes.contour(share, [0.5], colors=[colour], linewidths=1)
    axes.imshow(blend)
    box = {"facecolor": "black", "alpha": 0.6, "pad": 1, "linewidth": 0}
    for index, name in enumerate(structures):
        words, colour = f"{name}: in up to {100 * shares[index].max():.0f} %", COLOURS[index % 8]
        axes.text(0.02, 0.98 - 0.1 * index, words, color=colour, transform=axes.transAxes,
                  va="top", fontsize=7, bbox=box)  # fmt: skip


def _histogram(axes: Axes, values: Sequence[float], limits: tuple[float, float]) -> None:
    known = np.array(values)[np.isfinite(values)]
    axes.hist(known, bins=40, range=limits, color="tab:gray")
    if len(known):
        axes.axvline(float(np.median(known)), color="tab:red", linewidth=1)


def _share_axes(grid: np.ndarray, framed_name: str) -> None:
    for axes, title in zip(grid[0], COLUMNS, strict=True):
        axes.set_title(title.format(framed_name))
    top = max(axes.get_ylim()[1] for axes in grid[:, 2])
    widest = max(np.abs([*axes.get_xlim(), *axes.get_ylim()]).max() for axes in grid[:, 5])
    for row in grid:
        row[2].set(xlim=(0, 255), ylim=(0, top), yticks=[])
        row[3].set(yticks=[], xlim=(0, 255))
        row[4].set(yticks=[], xlim=(0, 1))
        row[5].set(xlim=(-widest, widest), ylim=(widest, -widest), aspect="equal")
    labels = {2: "value", 3: "mean of a photograph", 4: "share of the longer side",
              5: "off the photograph's, share of side"}  # fmt: skip
    for column, label in labels.items():
        grid[-1][column].set_xlabel(label)
