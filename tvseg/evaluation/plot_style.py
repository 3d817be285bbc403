"""The style of all figures: sizes, colours, marks, and how a figure becomes a file."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

WIDTH_IN = 5.4  # at the width of a phone, 10 pt letters are then still read without zooming
DPI = 200
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,  # letters stay letters, which journals ask for
    "text.parse_math": False,  # a "$" in a name is a dollar sign
}
"""SegmentationSettings of matplotlib, for ``rc_context`` around the drawing."""

# Of Okabe and Ito's colours, which differ with any colour vision, those that variants have last.
_CENTRE_COLOURS = ("#56B4E9", "#D55E00", "#CC79A7", "#222222")
_MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def centre_marks(centres: Sequence[str], drawn: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a mark for each centre; marks differ in print without colours too.

    Args:
        centres: All centres of a report, so that each has one mark in all its figures.
        drawn: The centres of this figure.
    """
    present = set(drawn)
    return {
        centre: (_CENTRE_COLOURS[i % len(_CENTRE_COLOURS)], _MARKS[i % len(_MARKS)])
        for i, centre in enumerate(sorted(centres))
        if centre in present
    }


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG; equal figures give equal bytes."""
    return _save(figure, "png", {"Software": None})


def to_pdf(figure: Figure) -> bytes:
    """Return a figure as PDF with vector lines; equal figures give equal bytes."""
    return _save(figure, "pdf", {"CreationDate": None, "Producer": None, "Creator": None})


def _save(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
