"""Photographs shared out to the machines of a Ray cluster, by Ray Data."""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tvseg.inference.input.find import Photograph
from tvseg.inference.load import load
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.tables import Tally
from tvseg.inference.pipeline import Pipeline
from tvseg.inference.shards.merge import merge
from tvseg.inference.shards.parts import ROWS, Parts
from tvseg.inference.shards.run import predict_rows
from tvseg.inference.shards.shard import PhotographSet
from tvseg.ray_cluster import ray_cluster
from tvseg.remote_files import File, RemoteFile, as_file

ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""Keeps the memory of actors flat: glibc gives Ray's many threads up to 8 heaps a core, which all
fragment."""


def predict_on_ray(
    photographs: PhotographSet,
    pipeline: Pipeline,
    out: OutputFolder,
    *,
    about: Mapping[str, Any],
    provenance: Mapping[str, Any],
    load_options: Mapping[str, Any],
    jobs: int,
    batch_size: int,
    workers: int,
    address: str | None,
) -> Tally:
    """Predict photographs by actors that load the model once; those with a row are left alone.

    An actor that is killed is started again, and so is its group of photographs; groups whose rows
    are written are not computed again.

    Args:
        photographs: What to predict.
        pipeline: The model, as loaded here: names structures and encoding.
        out: Folder to write, on a file system that all machines share.
        about: What decides the output; kept in ``run.json``.
        provenance: The circumstances; kept there.
        load_options: Arguments of :func:`tvseg.inference.load.load` for the actors.
        jobs: Actors.
        batch_size: Photographs that an actor has in hand together.
        workers: CPUs and threads of each.
        address: Of a running cluster; ``None`` starts one on this machine.

    Returns:
        What became of all photographs; tables as of one process are written.

    Raises:
        UserError: ``out`` holds other predictions, or photographs whose outputs could not be
            written are left.
        OSError: ``out`` cannot be written.
    """
    parts = Parts(out.path, pipeline.encoding)
    out.join({**about, "batch_size": batch_size, "photographs": photographs.about}, provenance)
    with out.lock("ray.lock"):
        finished = parts.finished()
        waiting = {n: p for n, p in photographs.numbered().items() if p.id not in finished}
        if waiting:
            actor = {
                "load_options": dict(load_options),
                "out": out.path.resolve(),
                "formats": out.formats,
                "batch_size": batch_size,
                "workers": workers,
                "folder": Path.cwd(),
            }
            with (
                ray_cluster(address, cpus=jobs * workers),
                tqdm(total=len(waiting), desc="predicting", unit="image") as bar,
            ):
                for count in _groups_done(waiting, actor, jobs=jobs, workers=workers):
                    bar.update(count)
        return merge([out.path], out.path)


def _groups_done(
    waiting: Mapping[int, Photograph], actor: Mapping[str, Any], *, jobs: int, workers: int
) -> Iterator[int]:
    """Yield the number of photographs of each group that an actor has finished."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    table = _table(waiting)
    groups = [table.slice(first, ROWS) for first in range(0, len(table), ROWS)]
    done = ray.data.from_arrow(groups).map_batches(
        _Actor,
        fn_constructor_kwargs=dict(actor),
        batch_size=None,  # a group at a time
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=jobs),
        num_cpus=workers,
        runtime_env={"env_vars": ONE_ARENA},
    )
    for row in done.iter_rows():
        yield row["count"]


def _table(waiting: Mapping[int, Photograph]) -> Any:
    """Return photographs as a table of pyarrow, paths as bytes: not all are UTF-8."""
    import pyarrow as pa

    rows = [
        {"number": number, "id": one.id, "path": os.fsencode(_address(one.path)),
         "laterality": one.laterality, "um_per_px": one.um_per_px}
        for number, one in waiting.items()
    ]  # fmt: skip
    schema = pa.schema(
        [("number", pa.int64()), ("id", pa.string()), ("path", pa.binary()),
         ("laterality", pa.string()), ("um_per_px", pa.float64())]
    )  # fmt: skip
    return pa.Table.from_pylist(rows, schema)


def _address(file: File) -> str:
    return file.url if isinstance(file, RemoteFile) else str(file)


class _Actor:
    """Holds the model; predicts a group of photographs and writes their rows."""

    def __init__(
        self,
        *,
        load_options: Mapping[str, Any],
        out: Path,
        formats: tuple[str, ...],
        batch_size: int,
        workers: int,
        folder: Path,
    ) -> None:
        os.chdir(folder)  # paths are relative to the driver's
        self.pipeline = load(**load_options).pipeline
        encoding = self.pipeline.encoding
        self.out = OutputFolder(out, formats=formats, structures=encoding.structures)
        self.parts = Parts(out, encoding)
        self.batch_size = batch_size
        self.workers = workers

    def __call__(self, group: Any) -> Any:
        """Predict a group, a table of pyarrow; return how many photographs it has."""
        import pyarrow as pa

        numbered = {row["number"]: _photograph(row) for row in group.to_pylist()}
        if not self.parts.path_of(one.id for one in numbered.values()).is_file():
            rows = predict_rows(
                numbered, self.pipeline, self.out, self.parts,
                batch_size=self.batch_size, workers=self.workers,
            )  # fmt: skip
            for _ in rows:
                pass
        return pa.table({"count": [len(numbered)]})


def _photograph(row: Mapping[str, Any]) -> Photograph:
    return Photograph(
        row["id"], as_file(os.fsdecode(row["path"])), row["laterality"], row["um_per_px"]
    )
