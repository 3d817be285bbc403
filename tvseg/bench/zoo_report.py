"""Table, CSV files and trade-off plots of the zoo."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tvseg.bench.report import canvas, save
from tvseg.bench.zoo import Row
from tvseg.bench.zoo_networks import CONVOLUTIONAL, MIXER
from tvseg.errors import UserError
from tvseg.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

KEY = ("backbone", "width", "operator")
COLUMNS: dict[str, Callable[[Row], str]] = {
    "width": lambda row: f"x{row.width}",
    "operator": lambda row: row.operator,
    "MMAC": lambda row: f"{row.macs / 1e6:.2f}",
    "paper's count": lambda row: f"{row.macs_as_published / 1e6:.2f}",
    "M trained": lambda row: f"{row.parameters / 1e6:.2f}",
    "M frozen": lambda row: f"{row.parameters_frozen / 1e6:.2f}",
    "images/s": lambda row: "" if row.images_per_second is None else f"{row.images_per_second:.4g}",
    "at": lambda row: "" if row.layout is None else f"{row.batch} x {row.threads}, {row.layout}",
    "peak MB": lambda row: "" if row.peak_mb is None else f"{row.peak_mb:.4g}",
    "accuracy": lambda row: "" if row.accuracy is None else f"{row.accuracy:.2f}",
}
"""Cells of the table; ``at`` is images of a call x threads, and the memory format."""
Cost = tuple[str, str, float]
COSTS: dict[str, Cost] = {
    "complexity": ("macs", "M multiply-accumulates", 1e-6),
    "throughput": ("images_per_second", "images per second", 1.0),
    "memory": ("peak_mb", "peak memory, MB", 1.0),
}
"""Plots by name: field, label and factor of the horizontal axis."""
SCORE: Cost = ("accuracy", "accuracy, %", 1.0)
MARKERS = "osD^v<>PX*h"


def tables(rows: Sequence[Row]) -> list[tuple[str, pd.DataFrame]]:
    """Lay rows out for the terminal: title and cells of a table for each backbone."""
    used = {title: cell for title, cell in COLUMNS.items() if any(cell(row) != "" for row in rows)}
    return [
        (
            backbone,
            pd.DataFrame([{title: cell(row) for title, cell in used.items()} for row in group]),
        )
        for backbone, group in groupby(rows, lambda row: row.backbone)
    ]


def write_csv(rows: Sequence[Row], folder: Path) -> None:
    """Write ``zoo.csv``, a row per network, and ``throughput.csv``, one per batch and threads."""
    names = [field.name for field in fields(Row) if field.name != "grid"]
    networks = pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)
    points = pd.DataFrame(
        [(row.backbone, row.width, row.operator, *point) for row in rows for point in row.grid],
        columns=[*KEY, "batch", "threads", "images_per_second"],
    )
    write_text(folder / "zoo.csv", networks.to_csv(index=False))
    write_text(folder / "throughput.csv", points.to_csv(index=False))


def read_accuracies(path: Path) -> dict[tuple[str, ...], float]:
    """Read the mean accuracy of runs by backbone, width and operator.

    Args:
        path: CSV file with columns ``backbone``, ``width``, ``operator`` and ``accuracy``, the
            names those of ``zoo.csv``, a row per run.

    Raises:
        UserError: Not such a file.
    """
    try:
        frame = pd.read_csv(StringIO(path.read_text(encoding="utf-8-sig")), dtype={"width": str})
        frame["accuracy"] = frame["accuracy"].astype(float)
        means = frame.groupby(list(KEY))["accuracy"].mean()
    except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
        raise UserError(
            f"{path} must be a CSV file with columns {', '.join(KEY)} and accuracy: {error}"
        ) from error
    return dict(zip(means.index, means.tolist(), strict=True))


def with_accuracies(rows: Sequence[Row], accuracies: Mapping[tuple[str, ...], float]) -> list[Row]:
    """Add accuracies to the rows of their networks."""
    return [
        replace(row, accuracy=accuracies.get((row.backbone, row.width, row.operator)))
        for row in rows
    ]


def write_plots(rows: Sequence[Row], folder: Path) -> None:
    """Plot accuracy against complexity, throughput and peak memory, a PNG file each.

    A panel for each convolutional backbone, the Mixers in all of them; a plot of what was not
    measured is left out.
    Where no row has an accuracy the vertical axis is the throughput, for the throughput itself the
    peak memory.

    Args:
        rows: Of the zoo.
        folder: For ``complexity.png``, ``throughput.png`` and ``memory.png``.
    """
    scored = any(row.accuracy is not None for row in rows)
    styles = {operator: n for n, operator in enumerate(dict.fromkeys(r.operator for r in rows))}
    for name, across in COSTS.items():
        up = SCORE if scored else COSTS["memory" if name == "throughput" else "throughput"]
        measured = [r for r in rows if None not in (getattr(r, across[0]), getattr(r, up[0]))]
        panels = [b for b in CONVOLUTIONAL if any(row.backbone == b for row in measured)]
        if not panels:
            continue
        figure, axes = canvas(1, len(panels))
        for axis, backbone in zip(axes[0], panels, strict=True):
            axis.set(title=backbone, xlabel=across[1], ylabel=up[1], xscale="log")
            axis.set_yscale("linear" if scored else "log")
            shown = [row for row in measured if row.backbone in (backbone, MIXER)]
            for operator, style in styles.items():
                _draw(axis, [r for r in shown if r.operator == operator], across, up, style)
            for logarithmic in (axis.xaxis, *(() if scored else (axis.yaxis,))):
                _plain_ticks(logarithmic)
            axis.grid(alpha=0.3)
        handles, _ = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, styles, loc="outside lower center", ncols=6, fontsize="small")
        save(figure, folder / f"{name}.png")


def _draw(axis: "Axes", rows: Sequence[Row], across: Cost, up: Cost, style: int) -> None:
    """Draw an operator's line through its widths, from cheap to dear."""
    rows = sorted(rows, key=lambda row: row.macs)
    axis.plot(
        [across[2] * getattr(row, across[0]) for row in rows],
        [up[2] * getattr(row, up[0]) for row in rows],
        marker=MARKERS[style % len(MARKERS)],
        color=f"C{style}" if style < 10 else "black",  # the Mixers come last
        label=str(style),
    )


def _plain_ticks(axis: "Axis") -> None:
    """Put plain numbers at 1, 2 and 5 times the powers of ten."""
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(ScalarFormatter())
