"""Learned affinity maps: measures of each TVConv layer, and figures as in Figure 5 of the paper."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator
from torch import nn

from tvseg.evaluation.plot_style import STYLE, WIDTH_IN
from tvseg.ops import TVConv2d
from tvseg.runs.affinity import Course, tv_conv_layers

START = 1.0  # where maps begin, section 4.1 of the paper
COLOURS = "PuOr_r"  # white in its middle; differs with any colour vision
DEPTH_COLOURS = "viridis"  # of lines, where there are more layers than LINE_COLOURS
SHOWN_EPOCHS = 6
LABEL_LETTERS = 16  # in one line beside a row of maps
LINE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#222222")


def layer_table(network: nn.Module) -> pd.DataFrame:
    """Return what each TVConv layer of a network has learned of positions.

    Args:
        network: Any network.

    Returns:
        A row a layer: ``layer``; ``maps``, their number; ``low``, ``high`` and ``spread`` (the
        standard deviation over positions, averaged over maps) of their values; ``kernels``, the
        share of the generated kernels' mean square that varies with position; ``kernels_constant``,
        the same when each map is set to its mean: zero padding and the layer norms of the weight
        generator distinguish positions too.
    """
    rows = []
    for name, layer in tv_conv_layers(network).items():
        maps = layer.affinity.detach()
        flat = maps.mean(dim=(1, 2), keepdim=True).expand_as(maps).contiguous()
        rows.append(
            {
                "layer": name,
                "maps": len(maps),
                "low": float(maps.min()),
                "high": float(maps.max()),
                "spread": float(maps.std(dim=(1, 2), correction=0).mean()),
                "kernels": _position_share(layer, maps),
                "kernels_constant": _position_share(layer, flat),
            }
        )
    columns = ["layer", "maps", "low", "high", "spread", "kernels", "kernels_constant"]
    return pd.DataFrame(rows, columns=columns)


def _position_share(layer: TVConv2d, maps: torch.Tensor) -> float:
    with torch.inference_mode():
        kernels = layer.generator(maps)  # (C, k*k, h, w)
        mean_square = kernels.square().mean()
        varying = kernels.var(dim=(2, 3), correction=0).mean()
    return float(varying / mean_square) if mean_square > 0 else 0.0


@rc_context(STYLE)
def affinity_figure(maps: Mapping[str, np.ndarray], title: str) -> Figure:
    """Draw every affinity map: a row a layer, one colour scale about the start for all.

    Args:
        maps: Layer name -> (affinity channels, height, width), at least one layer.
        title: Title of the figure.
    """
    columns = max(len(layer) for layer in maps.values())
    figure = _figure(len(maps), columns)
    grid = figure.subplots(len(maps), columns, squeeze=False)
    scale = _scale(list(maps.values()))
    for row, (name, layer) in zip(grid, maps.items(), strict=True):
        for axes in row[len(layer) :]:
            axes.set_visible(False)
        for channel, (axes, values) in enumerate(zip(row, layer, strict=False), start=1):
            _show(axes, values, scale)
            if axes in grid[0]:
                axes.set_title(f"map {channel}", loc="center")
        row[0].set_ylabel(_label(name), fontsize=7)
    _finish(figure, grid, scale, title)
    return figure


@rc_context(STYLE)
def course_figure(course: Course, title: str) -> Figure:
    """Draw how affinity maps came about: of each layer the map that varies most in the end.

    Maps of at most :data:`SHOWN_EPOCHS` epochs, the first and the last among them, on one colour
    scale; below, the spread of every map over positions, by epoch.

    Args:
        course: Of one training.
        title: Title of the figure.
    """
    places = np.linspace(0, len(course.epochs) - 1, min(SHOWN_EPOCHS, len(course.epochs)))
    shown = np.unique(places.round().astype(int))
    chosen = {name: int(maps[-1].std(axis=(1, 2)).argmax()) for name, maps in course.maps.items()}
    figure = _figure(len(course.maps), max(len(shown), 4), extra_in=2.0)
    heights = [figure.get_figheight() - 2.0, 2.0]
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    grid = above.subplots(len(course.maps), len(shown), squeeze=False)
    scale = _scale([maps[shown, chosen[name]] for name, maps in course.maps.items()])
    for row, (name, maps) in zip(grid, course.maps.items(), strict=True):
        for axes, place in zip(row, shown, strict=True):
            _show(axes, maps[place, chosen[name]], scale)
            if axes in grid[0]:
                epoch = int(course.epochs[place])
                axes.set_title(f"epoch {epoch}" if epoch else "start", loc="center")
        row[0].set_ylabel(f"{_label(name)}\nmap {chosen[name] + 1}", fontsize=7)
    _finish(above, grid, scale, title)
    _spreads(below.subplots(), course)
    return figure


def _spreads(axes: Axes, course: Course) -> None:
    few = len(course.maps) <= len(LINE_COLOURS)
    depth = Normalize(1, max(len(course.maps), 2))
    for number, (name, maps) in enumerate(course.maps.items(), start=1):
        colour = LINE_COLOURS[number - 1] if few else colormaps[DEPTH_COLOURS](depth(number))
        label = name.rpartition("aspp.")[2]
        for channel, spread in enumerate(maps.std(axis=(2, 3)).T):  # (E,) each
            axes.plot(
                course.epochs, spread, ".-", color=colour, label=label if channel == 0 else None
            )
    axes.set_title("spread of each map: standard deviation over its positions")
    axes.set_xlabel("epoch (0: start)")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if few:
        axes.legend(loc="upper left")
    else:
        bar = axes.figure.colorbar(ScalarMappable(depth, DEPTH_COLOURS), ax=axes)
        bar.set_label("layer, from the first on")


def _figure(rows: int, columns: int, *, extra_in: float = 0.0) -> Figure:
    side_in = max(WIDTH_IN / (columns + 0.8), 0.8)
    size = (max(WIDTH_IN, side_in * (columns + 0.8)), 0.9 * side_in * rows + 0.8 + extra_in)
    return Figure(figsize=size, layout="constrained")


def _scale(maps: Sequence[np.ndarray]) -> CenteredNorm:
    farthest = max(float(np.abs(values - START).max()) for values in maps)
    return CenteredNorm(START, halfrange=max(farthest, 1e-6))


def _show(axes: Axes, values: np.ndarray, scale: CenteredNorm) -> None:
    axes.imshow(values, cmap=COLOURS, norm=scale, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _label(name: str) -> str:
    """Break a long name after the dot nearest to its middle."""
    name = name.removeprefix("backbone.")
    dots = [at for at, letter in enumerate(name) if letter == "."]
    if len(name) <= LABEL_LETTERS or not dots:
        return name
    middle = 1 + min(dots, key=lambda at: abs(at - len(name) / 2))
    return f"{name[:middle]}\n{name[middle:]}"


def _finish(figure: FigureBase, grid: np.ndarray, scale: CenteredNorm, title: str) -> None:
    figure.suptitle(title, fontsize=10)
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=grid.ravel().tolist(), shrink=0.9)
    bar.ax.axhline(START, color="black", linewidth=0.8)
    bar.set_label("value (1: the published start)")
