"""The files that an evaluation leaves beside its rows."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tvseg.errors import UserError
from tvseg.evaluation.tables.latex import to_latex
from tvseg.evaluation.tables.layout import layout
from tvseg.evaluation.tables.summary import summarise
from tvseg.evaluation.tables.table import Table, to_csv, to_markdown
from tvseg.files import write_text


def write_tables(
    cases: pd.DataFrame, caption: str, folders: Sequence[Path], *, intervals: bool = False
) -> Table:
    """Summarise rows, lay them out and write the table in every form.

    Args:
        cases: Rows of all runs of the table.
        caption: Names the protocol, the images and the data.
        folders: Each gets ``table.md``, ``table.tex`` and ``table.csv``, all laid out like the
            paper's Table 2, and ``summary.csv``, the means of every metric, one a row.
        intervals: Whether to write the bootstrap interval beside each mean.

    Returns:
        The table.
    """
    summary = summarise(cases)
    table = layout(summary, caption, intervals=intervals)
    forms = {
        "table.md": to_markdown(table),
        "table.tex": to_latex(table),
        "table.csv": to_csv(table),
        "summary.csv": summary.to_csv(index=False),
    }
    for folder in folders:
        for name, text in forms.items():
            write_text(folder / name, text)
    return table


def check_writable(folder: Path) -> None:
    """Raise UserError unless files can be written to a folder, which need not exist yet."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {nearest}: {error.strerror}") from error
