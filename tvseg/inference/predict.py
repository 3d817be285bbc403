"""A folder of photographs in, a folder of contours and measurements out, of any length."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from tvseg.inference.input.find import Photograph
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.tables import Tally
from tvseg.inference.pipeline import Pipeline
from tvseg.inference.stream.batches import Batch, batches
from tvseg.inference.stream.line import PredictionLine
from tvseg.runs.provenance import now


def predict(
    photographs: Sequence[Photograph],
    pipeline: Pipeline,
    out: OutputFolder,
    *,
    about: Mapping[str, Any],
    provenance: Mapping[str, Any],
    batch_size: int = 8,
    workers: int = 2,
    resume: bool = False,
) -> Tally:
    """Predict photographs; those that cannot be are listed.

    Writes a folder for each format, ``measurements.csv``, ``coco.json`` if asked for, ``run.json``,
    and ``failures.csv`` when something failed.

    Args:
        photographs: What to predict.
        pipeline: How.
        out: Folder to write, new or empty, or to be resumed.
        about: What decides the output apart from the photographs; kept in ``run.json``.
        provenance: The circumstances; kept in ``run.json``.
        batch_size: Photographs that are kept or done again together, and that go through the
            network together on a GPU, where a network's last bits depend on it.
        workers: Threads that read and write, and on a CPU call the network.
        resume: Leave alone what is finished, if the files are still the same.

    Returns:
        What became of the photographs, those included that were finished before.

    Raises:
        UserError: ``out`` holds something else, or another process is writing it.
        OSError: ``out`` cannot be written.
    """
    started = time.monotonic()
    out.check_free(resume=resume)
    with out.lock():
        out.begin(photographs, {**about, "batch_size": batch_size})
        try:
            with tqdm(total=len(photographs), desc="predicting", unit="image") as bar:
                waiting = _unfinished(photographs, out, batch_size, bar, resume=resume)
                for one in PredictionLine(pipeline, out, workers=workers).run(waiting):
                    out.progress.write(one.number, one.record)
                    bar.update(len(one.record.ids))
        finally:  # what is done is kept, whatever ends the loop
            tally = out.write_tables()
        out.record.update(
            **provenance,
            finished=now(),
            seconds=round(time.monotonic() - started, 1),
            counts={
                "photographs": len(photographs),
                "predicted": tally.predicted,
                "failed": tally.failed,
                "flags": dict(tally.flags),
            },
        )
    return tally


def _unfinished(
    photographs: Sequence[Photograph],
    out: OutputFolder,
    size: int,
    bar: "tqdm[Any]",
    *,
    resume: bool,
) -> Iterator[Batch]:
    """Yield the batches that are to be done; at the end drop records of batches beyond them."""
    count = 0
    for batch in batches(photographs, size):
        count += 1
        if resume and out.progress.is_finished(batch.number, batch.photographs):
            bar.update(len(batch.photographs))
        else:
            yield batch
    out.progress.keep_first(count)
