"""What a benchmark leaves behind: a table on the terminal, a CSV file, plots."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tvseg.bench.measurement import FORWARD, Measurement
from tvseg.files import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = {
    "milliseconds": ("ms", "{:.4g}"),
    "speedup": ("x published", "{:.3g}"),
    "to_depthwise": ("/ depthwise", "{:.3g}"),
    "bandwidth_share": ("of copy", "{:.0%}"),
    "peak_mb": ("peak MB", "{:.4g}"),
    "memory_to_unfold": ("/ unfold", "{:.0%}"),
    "kept_mb": ("kept MB", "{:.3g}"),
}
_SWEPT = {"channels": "channels", "map size": "height", "batch": "batch"}


def tables(rows: Sequence[Measurement]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Lay rows out for the terminal: a table for each case and passes.

    Args:
        rows: Of one benchmark.

    Yields:
        Title and cells as text of each table; columns that nothing fills are left out.
    """
    used = {
        field: words
        for field, words in _COLUMNS.items()
        if any(getattr(row, field) is not None for row in rows)
    }
    for _, group in groupby(
        rows, lambda row: (row.case, row.channels, row.height, row.batch, row.passes)
    ):
        members = list(group)
        lines = []
        for row in members:
            cells = [_cell(row, field, pattern) for field, (_, pattern) in used.items()]
            if row.refused:
                cells[0] = f"refused: differs by {row.error:.1e}"
            lines.append((row.variant, *cells))
        columns = ["variant", *(header for header, _ in used.values())]
        yield _title(members[0]), pd.DataFrame(lines, columns=columns)


def _title(row: Measurement) -> str:
    words = f"{row.case}, batch {row.batch}, {row.passes}"
    if row.macs is None or row.megabytes is None:
        return words
    sizes = f"{row.channels} x {row.height} x {row.width}"
    return f"{words} ({sizes}): {row.macs / 1e6:.4g} MMAC, {row.megabytes:.4g} MB"


def _cell(row: Measurement, field: str, pattern: str) -> str:
    value = getattr(row, field)
    return "" if value is None else pattern.format(value)


def write_csv(rows: Sequence[Measurement], path: Path) -> None:
    """Write every field of every row.

    Args:
        rows: Of one benchmark.
        path: Of the file.
    """
    names = [field.name for field in fields(Measurement)]
    frame = pd.DataFrame([asdict(row) for row in rows], columns=names)
    write_text(path, frame.to_csv(index=False))


def write_roofline(
    rows: Sequence[Measurement], path: Path, *, bandwidth: float, peak: float
) -> None:
    """Plot the forward pass of every form under the machine's two limits.

    Args:
        rows: Of the operator's benchmark.
        path: Of the PNG file.
        bandwidth: Bytes per second of a copy.
        peak: FLOP per second of a matrix product.
    """
    figure, axes = canvas(1, 1)
    axis = axes[0][0]
    intensities = [0.2, peak / bandwidth, 20.0]
    axis.loglog(
        intensities,
        [min(peak, bandwidth * intensity) / 1e9 for intensity in intensities],
        color="black", label="copy, matrix product",
    )  # fmt: skip
    timed = [row for row in rows if row.passes == FORWARD and row.milliseconds and row.macs]
    for name in dict.fromkeys(row.variant for row in timed):
        points = [
            (2 * row.macs / (1e6 * row.megabytes), 2e-6 * row.macs / row.milliseconds)
            for row in timed
            if row.variant == name and row.macs and row.megabytes and row.milliseconds
        ]
        axis.loglog(*zip(*points, strict=True), "o", label=name)
    axis.set_xlabel("FLOP per byte that must move")
    axis.set_ylabel("GFLOP/s")
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    save(figure, path)


def write_sizes(rows: Sequence[Measurement], path: Path) -> None:
    """Plot time and memory of the forward pass against channels, map size and batch.

    Args:
        rows: Of the operator in the shapes of the sweeps; one column of plots each.
        path: Of the PNG file.
    """
    timed = [row for row in rows if row.passes == FORWARD and row.milliseconds]
    cases = list(dict.fromkeys(row.case for row in timed))
    figure, axes = canvas(2, len(cases))
    for column, case in enumerate(cases):
        for line, (field, label) in enumerate((("milliseconds", "ms"), ("peak_mb", "peak, MB"))):
            axis = axes[line][column]
            for name in dict.fromkeys(row.variant for row in timed):
                members = [row for row in timed if (row.case, row.variant) == (case, name)]
                axis.loglog(
                    [getattr(row, _SWEPT[case]) for row in members],
                    [getattr(row, field) for row in members],
                    "o-",
                    label=name,
                )
            sizes = sorted({getattr(row, _SWEPT[case]) for row in timed if row.case == case})
            axis.set_xticks(sizes, [str(size) for size in sizes])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.set_xlabel(case)
            axis.set_ylabel(label)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    save(figure, path)


def canvas(rows: int, columns: int) -> tuple["Figure", Any]:
    """Make a figure with rows and columns of axes, as an array of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * columns, 4 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG file."""
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_bytes(path, picture.getvalue())
