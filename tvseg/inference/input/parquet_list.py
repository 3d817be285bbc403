"""Lists of photographs in Parquet files."""

from pathlib import Path

from tvseg.csv_files import CsvTable
from tvseg.errors import UserError
from tvseg.extras import require


def read_parquet(path: Path) -> CsvTable:
    """Read a table as :func:`tvseg.csv_files.read_csv` does, its cells as text, empty for null.

    Raises:
        UserError: Not a Parquet file, or pyarrow is not installed.
        OSError: The file cannot be read.
    """
    require("pyarrow")
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        table = read_table(path)
    except ArrowException as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: must be a Parquet file: {reason:.100}") from error
    names = table.column_names
    columns = [table[name].to_pylist() for name in names]
    cells = ([_text(value) for value in row] for row in zip(*columns, strict=True))
    return CsvTable(
        names, [(n, dict(zip(names, row, strict=True))) for n, row in enumerate(cells, 1)]
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)
