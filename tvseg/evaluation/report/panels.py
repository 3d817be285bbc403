"""Contours on photographs, truth and prediction, as in Figure 9 of the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tvseg.data.geometry import Box
from tvseg.evaluation.plot_style import STYLE, WIDTH_IN
from tvseg.evaluation.tables.layout import SHORT
from tvseg.inference.output.formats.overlay import COLOURS, OTHER_COLOURS
from tvseg.inference.placed_masks import outline

TRUTH_COLOUR = "#FF3030"
MARGIN = 0.15  # about the contours, as a share of their extent
COLUMN_IN = WIDTH_IN / 4


@dataclass(frozen=True)
class Example:
    """One photograph with its true and predicted outlines.

    Attributes:
        rank: ``best``, ``median`` or ``worst`` of its centre.
        name: Name of the case.
        image: uint8 (H, W, 3).
        truth: bool (S, H, W).
        predictions: Variant -> bool (S, H, W).
        structures: Names of the channels.
        dice: Variant -> Dice of each structure, 0 to 1, as scored.
    """

    rank: str
    name: str
    image: np.ndarray
    truth: np.ndarray
    predictions: Mapping[str, np.ndarray]
    structures: Sequence[str]
    dice: Mapping[str, Mapping[str, float]]


@rc_context(STYLE)
def panels(examples: Sequence[Example]) -> Figure:
    """Draw cases as rows: the photograph, then each variant's contours, enlarged.

    Truth is red, the disc green, the cup blue; a white frame in the photograph shows what is
    enlarged, which is the same for all variants of a case. Below it is each structure's Dice in %.

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
        box = window(example)
        top, left = box.row - 0.5, box.col - 0.5
        bottom, right = top + box.height, left + box.width
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


def window(example: Example) -> Box:
    """Return the square about all contours of a case, moved into the image."""
    marked = np.concatenate([example.truth, *example.predictions.values()])  # (S, H, W)
    if not marked.any():
        return Box(0, 0, *marked.shape[1:])
    return Box.of(marked).square(MARGIN).moved_into(*marked.shape[1:])


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
