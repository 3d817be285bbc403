"""Predicts photographs into Parquet files, beside other processes that do the same."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tqdm import tqdm

from tvseg.inference.input.find import Photograph
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.progress import BatchRecord
from tvseg.inference.output.tables import Tally
from tvseg.inference.pipeline import Pipeline
from tvseg.inference.shards.parts import ROWS, Parts
from tvseg.inference.shards.shard import PhotographSet, Shard
from tvseg.inference.stream.batches import batches
from tvseg.inference.stream.line import FinishedBatch, PredictionLine


def predict_shard(
    photographs: PhotographSet,
    shard: Shard,
    pipeline: Pipeline,
    out: OutputFolder,
    *,
    about: Mapping[str, Any],
    provenance: Mapping[str, Any],
    batch_size: int = 8,
    workers: int,
) -> tuple[Tally, int]:
    """Predict one part of a set of photographs; those that have a row already are left alone.

    Args:
        photographs: The whole set.
        shard: The part.
        pipeline: How.
        out: Folder to write, which the processes of other parts may write, too.
        about: What decides the output; kept in ``run.json``.
        provenance: The circumstances; kept there by the first process.
        batch_size: Photographs that go through the network together on a GPU.
        workers: Threads.

    Returns:
        What became of the photographs that had no row yet, and how many had one.

    Raises:
        UserError: ``out`` holds other predictions, or another process is writing this part.
        OSError: ``out`` cannot be written.
    """
    parts = Parts(out.path, pipeline.encoding)
    out.join({**about, "batch_size": batch_size, "photographs": photographs.about}, provenance)
    numbered = photographs.numbered(shard)
    with out.lock(f"shard-{shard.index}-of-{shard.count}.lock", part=f"shard {shard}"):
        finished = parts.finished()
        waiting = {n: one for n, one in numbered.items() if one.id not in finished}
        tally = Tally()
        with tqdm(total=len(waiting), desc="predicting", unit="image") as bar:
            for one in predict_rows(
                waiting, pipeline, out, parts, batch_size=batch_size, workers=workers
            ):
                tally.add(one.record)
                tally.unfinished += len(one.unfinished)
                bar.update(len(one.record.ids))
    return tally, len(numbered) - len(waiting)


def advice(tally: Tally) -> str:
    """Return what to do about the failures of a part."""
    said = []
    if lasting := tally.failed - tally.unfinished:
        said.append(f"{lasting} failed; tvseg predict-merge lists them")
    if tally.unfinished:
        said.append(
            f"{tally.unfinished} could not be written or reached now, and are missing: give this "
            "command again before tvseg predict-merge"
        )
    return ". ".join(said)


def predict_rows(
    numbered: Mapping[int, Photograph],
    pipeline: Pipeline,
    out: OutputFolder,
    parts: Parts,
    *,
    batch_size: int,
    workers: int,
) -> Iterator[FinishedBatch]:
    """Predict photographs and keep a row of each, ``ROWS`` in a file.

    Args:
        numbered: Place in the table -> photograph.
        pipeline: How.
        out: Where the formats' files go.
        parts: Where the rows go. Photographs whose outputs could not be written get none.
        batch_size: Photographs that go through the network together on a GPU.
        workers: Threads.

    Yields:
        Batches, in order, soon before their rows are written.
    """
    numbers = {one.id: number for number, one in numbered.items()}
    held: list[BatchRecord] = []
    work = batches(list(numbered.values()), batch_size)
    try:
        for one in PredictionLine(pipeline, out, workers=workers, annotations=True).run(work):
            held.append(_kept(one))
            yield one
            if sum(len(record.ids) for record in held) >= ROWS:
                _flush(parts, numbers, held)
    finally:  # what is done is kept, whatever ends the loop
        _flush(parts, numbers, held)


def _kept(finished: FinishedBatch) -> BatchRecord:
    """Return the record without the photographs that are to be tried again."""
    record, again = finished.record, finished.unfinished
    return BatchRecord(
        [name for name in record.ids if name not in again],
        [],
        record.rows,
        [row for row in record.failures if row["id"] not in again],
        record.annotations,
    )


def _flush(parts: Parts, numbers: Mapping[str, int], held: list[BatchRecord]) -> None:
    ids: Iterable[str] = [name for record in held for name in record.ids]
    if ids:
        parts.write(parts.path_of(ids), numbers, held)
        held.clear()
