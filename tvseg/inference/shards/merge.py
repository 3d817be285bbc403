"""The tables of a set of photographs, made of the rows that several processes left."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tvseg.data.centres import MaskEncoding
from tvseg.errors import UserError
from tvseg.files import remove_temporaries
from tvseg.inference.output.folder import FORMER, OutputFolder
from tvseg.inference.output.formats import COCO
from tvseg.inference.output.progress import BatchRecord
from tvseg.inference.output.tables import Tally, write_tables
from tvseg.inference.prediction import measurement_types
from tvseg.inference.shards.parts import FOLDER, Parts
from tvseg.runs.provenance import now

CHUNK = 1024  # rows that are made into objects of Python together
KEYS = {"photographs", "encoding", "structures", "formats"}
"""What ``about`` of such a folder holds at least."""


def merge(folders: Sequence[Path], out: Path, *, incomplete: bool = False) -> Tally:
    """Write the tables that one process would have written, byte for byte.

    Args:
        folders: Written by processes that shared one set of photographs.
        out: Folder to write ``measurements.csv``, ``failures.csv`` and, of this format,
            ``coco.json`` to; may be one of ``folders``.
        incomplete: Whether photographs may be missing.

    Returns:
        What became of the photographs.

    Raises:
        UserError: A folder that holds no rows, folders of other photographs or models, a damaged
            file, or photographs that are missing.
        OSError: ``out`` cannot be written.
    """
    about = _common_about(folders)
    encoding = MaskEncoding(
        {int(value): names for value, names in about["encoding"].items()}, about["structures"]
    )
    coco = COCO in about["formats"]
    table = _read_all(folders, encoding, annotations=coco)
    _check_complete(table, about["photographs"]["count"], incomplete=incomplete)
    types = measurement_types(encoding)
    target = OutputFolder(out, formats=about["formats"], structures=about["structures"])
    if out not in folders:
        known = OutputFolder(folders[0], formats=(), structures=()).info()
        target.join(about, {key: known[key] for key in known if key != "about"})
    tally = write_tables(
        out, lambda: _records(table, types), categories=about["structures"] if coco else None
    )
    if len(table) == about["photographs"]["count"]:  # nobody writes any more
        remove_temporaries(out)
    counts = {"photographs": len(table), "predicted": tally.predicted, "failed": tally.failed}
    target.record.update(finished=now(), counts={**counts, "flags": dict(tally.flags)})
    return tally


def _common_about(folders: Sequence[Path]) -> dict[str, Any]:
    abouts: list[dict[str, Any]] = []
    for folder in folders:
        about = FORMER | OutputFolder(folder, formats=(), structures=()).info().get("about", {})
        if not about.keys() >= KEYS or not (folder / FOLDER).is_dir():
            raise UserError(
                f"{folder} must be a folder of tvseg predict --shard or --engine ray, with "
                f"run.json and {FOLDER}"
            )
        abouts.append(about)
        for key in sorted(abouts[0].keys() | about.keys()):
            one, other = abouts[0].get(key), about.get(key)
            if one != other:
                raise UserError(
                    f"folders must be of one run: {key} is {one} in {folders[0]} and {other} in "
                    f"{folder}"
                )
    return dict(abouts[0])


def _read_all(folders: Sequence[Path], encoding: MaskEncoding, *, annotations: bool) -> Any:
    """Return all rows as a table of pyarrow, each photograph once, in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = Parts(folders[0], encoding).schema
    columns = [name for name in schema.names if annotations or name != "annotations"]
    tables = [
        parts.read(path, columns)
        for parts in (Parts(folder, encoding) for folder in folders)
        for path in parts.paths()
    ]
    empty = schema.empty_table().select(columns)
    table = pa.concat_tables([empty, *tables]).sort_by("number").combine_chunks()
    number = table["number"].combine_chunks()
    first = pc.not_equal(number[1:], number[:-1])  # rows of one photograph are the same
    return table.filter(
        pa.concat_arrays([pa.array([True] * min(1, len(number)), pa.bool_()), first])
    )


def _check_complete(table: Any, count: int, *, incomplete: bool) -> None:
    if (missing := count - len(table)) and not incomplete:
        raise UserError(
            f"{missing} of {count} photographs are missing; give the commands that predict them "
            "again, or merge what there is with tvseg predict-merge --incomplete"
        )


def _records(table: Any, types: Mapping[str, type]) -> Iterator[BatchRecord]:
    for batch in table.to_batches(CHUNK):
        record = BatchRecord([], [])
        for row in batch.to_pylist():
            record.ids.append(row["id"])
            if row["reason"] is not None:
                record.failures.append({name: row[name] for name in ("id", "path", "reason")})
                continue
            nan = float("nan")
            record.rows.append({n: nan if row[n] is None else row[n] for n in types})
            record.annotations.append(json.loads(row.get("annotations") or "[]"))
        yield record
