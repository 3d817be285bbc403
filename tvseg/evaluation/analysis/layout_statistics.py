"""Whether pictures share a layout: variances of an encoder's features, centre by centre."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

from tvseg.data.cases import Case
from tvseg.data.images import read_image, resize_image
from tvseg.data.normalisation import Normalisation
from tvseg.evaluation.analysis.variances import FeatureSums, Variances
from tvseg.evaluation.plot_style import STYLE, WIDTH_IN

TOGETHER = "all"
BATCH = 16
MAPS_A_ROW = 5
_BARS = {"intra": "#E69F00", "cross": "#0072B2", "cross_moved": "#9ecae1"}
_WORDS = {
    "intra": "within a picture",
    "cross": "between pictures, at one position",
    "cross_moved": "the same, pictures moved at random",
}


@dataclass(frozen=True)
class Layout:
    """Variances of one centre's features, and those of its pictures moved at random.

    Attributes:
        images: Number of pictures.
        placed: Of the pictures as they are.
        moved: Of the pictures each shifted around its edges by a random distance in both axes: the
            content stays, its position does not. The layout that is left is that of the encoder's
            zero padding.
    """

    images: int
    placed: Variances
    moved: Variances


def layouts(
    cases: Mapping[str, Sequence[Case]],
    encoder: nn.Module,
    *,
    image_size: int,
    device: torch.device,
    normalisation: Normalisation,
    seed: int = 0,
) -> dict[str, Layout]:
    """Return variances of the encoder's last map, which the ASPP reads, of each centre and of all.

    Memory does not grow with the number of pictures.

    Args:
        cases: Centre letter -> its cases, at least two each.
        encoder: Of a network, in eval mode, on the device: (B, 3, S, S) -> list of maps.
        image_size: Side S in px that the network sees.
        device: Where to compute.
        normalisation: Of the encoder's input.
        seed: Of the moves.

    Returns:
        Centre letter -> its layout, and ``all`` for the pictures of all centres together.

    Raises:
        ValueError: A picture that cannot be read, or a centre with fewer than two.
    """
    rng = np.random.default_rng(seed)
    sums: dict[str, tuple[FeatureSums, FeatureSums]] = {}
    total = sum(len(of_centre) for of_centre in cases.values())
    with tqdm(total=total, desc="computing features", leave=False) as bar:
        for letter, of_centre in cases.items():
            shifts = rng.integers((image_size, image_size), size=(len(of_centre), 2))  # in px
            parts = []
            for start in range(0, len(of_centre), BATCH):
                batch = of_centre[start : start + BATCH]
                images = [_square(case, image_size) for case in batch]
                moved = [
                    np.roll(image, tuple(shift.tolist()), axis=(0, 1))
                    for image, shift in zip(images, shifts[start : start + BATCH], strict=True)
                ]
                parts.append(
                    [_sums(kind, encoder, normalisation, device) for kind in (images, moved)]
                )
                bar.update(len(batch))
            sums[letter] = _together(parts)
    sums[TOGETHER] = _together(list(sums.values()))
    return {
        name: Layout(placed.count, placed.variances(), moved.variances())
        for name, (placed, moved) in sums.items()
    }


def _together(parts: Sequence[Sequence[FeatureSums]]) -> tuple[FeatureSums, FeatureSums]:
    placed, moved = zip(*parts, strict=True)
    return reduce(operator.add, placed), reduce(operator.add, moved)


def _square(case: Case, side_px: int) -> np.ndarray:
    return resize_image(read_image(case.image_path), side_px)


def _sums(
    images: Sequence[np.ndarray],
    encoder: nn.Module,
    normalisation: Normalisation,
    device: torch.device,
) -> FeatureSums:
    """Return the sums of the encoder's last map of a batch of uint8 (S, S, 3)."""
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        maps = encoder(normalisation(batch.to(device)))[-1]  # (N, C, S / stride, S / stride)
        return FeatureSums.of(maps.float().cpu().numpy())


def layout_table(found: Mapping[str, Layout]) -> pd.DataFrame:
    """Return one row a centre.

    Columns are ``centre``, ``images``, ``intra``, ``cross`` and their ``ratio``, and of the
    pictures moved at random ``cross_moved`` and ``ratio_moved``.
    """
    return pd.DataFrame(
        {
            "centre": centre,
            "images": one.images,
            "intra": one.placed.intra,
            "cross": one.placed.cross,
            "ratio": one.placed.ratio,
            "cross_moved": one.moved.cross,
            "ratio_moved": one.moved.ratio,
        }
        for centre, one in found.items()
    )


def interpretation(found: Mapping[str, Layout]) -> str:
    """Return what the numbers say, in a sentence or two, without a threshold."""
    one = found[TOGETHER]
    share, by_chance = (100 * (1 - v.cross) for v in (one.placed, one.moved))
    centres = {name: layout for name, layout in found.items() if name != TOGETHER}
    least = min(centres, key=lambda name: 1 - centres[name].placed.cross)
    most = max(centres, key=lambda name: 1 - centres[name].placed.cross)
    return (
        f"Position alone explains {share:.0f} % of the features' variance over all pictures "
        f"({by_chance:.0f} % when they are moved at random): from "
        f"{100 * (1 - centres[least].placed.cross):.0f} % at centre {least} to "
        f"{100 * (1 - centres[most].placed.cross):.0f} % at centre {most}. The further this lies "
        "above the share of moved pictures, which the encoder's zero padding makes, the more "
        "layout there is for TVConv to use; where both are alike, the pictures share none."
    )


@rc_context(STYLE)
def layout_figure(found: Mapping[str, Layout]) -> Figure:
    """Draw variances of each centre as bars, and below them a map of where pictures agree.

    Args:
        found: Of :func:`layouts`.
    """
    rows = -(-len(found) // MAPS_A_ROW)
    heights = [2.9, 1.3 * rows + 0.3]
    figure = Figure(figsize=(WIDTH_IN, sum(heights)), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    _bars(above.subplots(), found)
    grid = below.subplots(rows, min(len(found), MAPS_A_ROW), squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    top = max(float(one.placed.cross_map.max()) for one in found.values())
    for axes, (name, one) in zip(grid, found.items(), strict=False):
        image = axes.imshow(
            one.placed.cross_map, vmin=0, vmax=top, cmap="viridis", interpolation="nearest"
        )
        axes.set_title(name, loc="center")
    below.suptitle("variance between pictures at each position: low where they agree", fontsize=10)
    below.colorbar(image, ax=grid.tolist(), label="share", shrink=0.9)
    return figure


def _bars(axes: Axes, found: Mapping[str, Layout]) -> None:
    table = layout_table(found).set_index("centre")
    for index, (column, colour) in enumerate(_BARS.items()):
        places = np.arange(len(table)) + (index - 1) * 0.27
        axes.bar(places, table[column], width=0.25, color=colour, label=_WORDS[column])
    axes.set_xticks(range(len(table)), [f"{c}\n{n} images" for c, n in table["images"].items()])
    axes.set_ylabel("share of total variance")
    axes.grid(visible=False, axis="x")
    axes.set_title("variance of encoder features")
    axes.figure.legend(loc="outside upper center", ncols=1)
