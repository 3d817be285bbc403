"""Contours on photographs, truth and prediction, as in Figure 9 of the paper."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tvseg.evaluation.plot_style import LOOK, WIDTH_IN
from tvseg.evaluation.report.examples import Example
from tvseg.evaluation.tables.table import SHORT
from tvseg.inference.contours import outline
from tvseg.inference.output.formats.overlay import COLOURS, OTHER_COLOURS

TRUTH_COLOUR = "#FF3030"
MARGIN = 0.15  # about the contours, as a share of their extent
COLUMN_IN = WIDTH_IN / 4


@rc_context(LOOK)
def panels(examples: Sequence[Example]) -> Figure:
    """Draw cases as rows: the photograph, then each variant's contours, enlarged.

    Truth is red, the disc green, the cup blue; a white frame in the photograph shows what is
    enlarged, which is the same for all variants of a case. Below stands each structure's Dice in %.

    Args:
        examples: Cases of one centre, with the same variants.
    """
    variants = list(examples[0].predictions)
    columns = 1 + len(variants)
    side_in = max(WIDTH_IN / columns, COLUMN_IN)
    figure = Figure(
        figsize=(side_in * columns, (side_in - 0.02) * len(examples) + 0.55), layout="constrained"
    )
    grid = figure.subplots(len(examples), columns, squeeze=False)
    for axes, title in zip(grid[0], ("photograph", *variants), strict=True):
        axes.set_title(title, loc="center")
    for row, example in zip(grid, examples, strict=True):
        top, bottom, left, right = window(example)
        _show(row[0], example.image)
        row[0].set_ylabel(f"{example.rank}\n{example.name}", fontsize=8)
        frame = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="white")
        row[0].add_patch(frame)
        for axes, variant in zip(row[1:], variants, strict=True):
            _show(axes, example.image)
            _draw(axes, example, variant)
            axes.set_xlim(left, right)
            axes.set_ylim(bottom, top)
    structures = examples[0].structures
    handles = [Line2D([], [], color=TRUTH_COLOUR, label="truth")]
    handles += [
        Line2D([], [], color=_colour(name, index), label=f"predicted {name}")
        for index, name in reversed(list(enumerate(structures)))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def window(example: Example) -> tuple[float, float, float, float]:
    """The square about all contours of a case: top, bottom, left, right in px, within the image."""
    everything = [example.truth, *example.predictions.values()]
    marked = np.logical_or.reduce(np.concatenate(everything))  # (H, W)
    height, width = marked.shape
    if not marked.any():
        return -0.5, height - 0.5, -0.5, width - 0.5
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    side = min((1 + 2 * MARGIN) * extent, height, width)
    edges = []
    for places, length in ((rows, height), (columns, width)):
        start = (places[0] + places[-1] - side) / 2
        start = min(max(start, -0.5), length - 0.5 - side)
        edges += [float(start), float(start + side)]
    return edges[0], edges[1], edges[2], edges[3]


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw(axes: Axes, example: Example, variant: str) -> None:
    scores = []
    for index, name in enumerate(example.structures):
        for mask, colour, width in (
            (example.truth[index], TRUTH_COLOUR, 1.6),
            (example.predictions[variant][index], _colour(name, index), 1.2),
        ):
            for polygon in outline(mask):
                axes.plot(polygon[:, 1], polygon[:, 0], color=colour, linewidth=width)
        dice = example.dice[variant][name]
        scores.append(
            f"{SHORT.get(name, name)} {'none' if np.isnan(dice) else f'{100 * dice:.1f}'}"
        )
    axes.set_xlabel("  ".join(scores), fontsize=8, labelpad=2)


def _colour(structure: str, index: int) -> tuple[float, float, float]:
    red, green, blue = COLOURS.get(structure, OTHER_COLOURS[index % len(OTHER_COLOURS)])
    return red / 255, green / 255, blue / 255
