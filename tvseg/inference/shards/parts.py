"""Rows of predictions in Parquet files, each written as a whole."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tvseg.data.centres import MaskEncoding
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.files import as_text, write_bytes
from tvseg.inference.output.progress import BatchRecord
from tvseg.inference.prediction import measurement_types

FOLDER = "rows"
ROWS = 64
"""Photographs of a file; about what a process that is killed has to do again."""


class Parts:
    """The Parquet files of a folder of predictions, a row for each photograph.

    Columns are ``number`` (the place in the table), those of ``measurements.csv``, ``reason`` (why
    there is no prediction, else null) and ``annotations`` (COCO's, as JSON: the outlines).

    Args:
        out: The folder of predictions.
        encoding: Of the label images; names the structures.

    Raises:
        UserError: pyarrow is not installed.
    """

    def __init__(self, out: Path, encoding: MaskEncoding) -> None:
        require("pyarrow")
        self.folder = out / FOLDER
        self.encoding = encoding

    @cached_property
    def schema(self) -> Any:
        """Of every file."""
        import pyarrow as pa

        kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
        measured = [(name, kinds[kind]) for name, kind in measurement_types(self.encoding).items()]
        return pa.schema(
            [
                ("number", pa.int64()),
                *measured,
                ("reason", pa.string()),
                ("annotations", pa.string()),
            ]
        )

    def paths(self) -> list[Path]:
        """Return the files, sorted by name."""
        return sorted(self.folder.glob("*.parquet"))

    def path_of(self, ids: Iterable[str]) -> Path:
        """Return the file of a group of photographs, whoever writes it."""
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
        return self.folder / f"{digest[:16]}.parquet"

    def finished(self) -> set[str]:
        """Return the ids of all rows.

        Raises:
            UserError: A damaged file.
        """
        return {name for path in self.paths() for name in self.read(path, ["id"])["id"].to_pylist()}

    def read(self, path: Path, columns: Sequence[str] | None = None) -> Any:
        """Return a file as a table of pyarrow.

        Raises:
            UserError: The file is damaged, or of other structures.
        """
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        try:
            with ParquetFile(path, page_checksum_verification=True) as file:
                if file.schema_arrow != self.schema:
                    raise UserError(f"{path} must have the columns of this version and structures")
                return file.read(columns)
        except (ArrowException, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{path} is damaged ({reason:.100}); remove it and predict again"
            ) from error

    def write(self, path: Path, numbers: Mapping[str, int], records: Sequence[BatchRecord]) -> None:
        """Write the rows of some photographs.

        Args:
            path: File to write.
            numbers: Id -> place in the table.
            records: What is kept of them.

        Raises:
            OSError: The file cannot be written.
        """
        import pyarrow as pa
        from pyarrow.parquet import write_table

        rows = [
            row | {"annotations": json.dumps(annotations, ensure_ascii=False)}
            for record in records
            for row, annotations in zip(record.rows, record.annotations, strict=True)
        ]
        rows += [row for record in records for row in record.failures]
        numbered = [_as_stored(row) | {"number": numbers[str(row["id"])]} for row in rows]
        table = pa.Table.from_pylist(numbered, self.schema)
        sink = pa.BufferOutputStream()
        write_table(table.sort_by("number"), sink, compression="zstd", write_page_checksum=True)
        write_bytes(path, sink.getvalue().to_pybytes())


def _as_stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return values that Parquet holds: null for nan, file names without bytes that are no text."""
    return {
        name: as_text(value) if isinstance(value, str) else None if value != value else value
        for name, value in row.items()
    }
