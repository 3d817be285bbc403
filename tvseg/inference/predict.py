"""A folder of photographs in, a folder of contours and measurements out, of any length.

Photographs go through in batches: while one is in the network, the next is being read and the one
before is being written, by threads. No more than a few batches are held.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from filelock import Timeout
from tqdm import tqdm

from tvseg.errors import UserError
from tvseg.inference.input.find import Photograph
from tvseg.inference.input.read import Pixels, count_pixels, read_photograph
from tvseg.inference.output.folder import OutputFolder, Tally
from tvseg.inference.output.formats import render
from tvseg.inference.output.formats.polygons import coco_annotations
from tvseg.inference.output.progress import BatchRecord, Signature, signature
from tvseg.inference.pipeline import Pipeline, Segmentation
from tvseg.inference.prediction import Measurements, Prediction
from tvseg.runs.provenance import now

MAX_BATCH_PIXELS = 32_000_000  # 96 MB
MAX_HELD_PIXELS = 3 * MAX_BATCH_PIXELS

Written = tuple[Measurements, list[dict[str, Any]]]
"""A row of the table, and annotations for COCO."""


@dataclass(frozen=True)
class Failure:
    """Why a photograph has no prediction, and whether it may have one without another file."""

    reason: str
    transient: bool = False


@dataclass
class Batch:
    """Photographs that go through the network together; which, depends on their files alone.

    Attributes:
        number: Of the batch.
        photographs: In order.
        pixels: Of all together.
        signatures: Of the files, taken before they are read.
        read: The photographs' pixels, to come.
        written: What is left of each, to come.
    """

    number: int
    photographs: list[Photograph]
    pixels: int
    signatures: list[Signature | None] = field(default_factory=list)
    read: list[Future[Pixels | Failure]] = field(default_factory=list)
    written: list[Future[Written | Failure]] = field(default_factory=list)


def batches(photographs: Sequence[Photograph], size: int) -> Iterator[Batch]:
    """Yield batches of at most ``size`` photographs and, unless a single one, 32 megapixels."""
    chosen: list[Photograph] = []
    pixels, number = 0, 0
    for photograph in photographs:
        count = count_pixels(photograph.path)
        if chosen and (len(chosen) == size or pixels + count > MAX_BATCH_PIXELS):
            yield Batch(number, chosen, pixels)
            chosen, pixels, number = [], 0, number + 1
        chosen.append(photograph)
        pixels += count
    if chosen:
        yield Batch(number, chosen, pixels)


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
        batch_size: Photographs that go through the network together. A network's last bits depend
            on it.
        workers: Threads that read and write.
        resume: Leave alone what is finished, if the files are still the same.

    Returns:
        What became of the photographs, those included that were finished before.

    Raises:
        UserError: ``out`` holds something else, or another process is writing it.
        OSError: ``out`` cannot be written.
    """
    started = time.monotonic()
    out.check_free(resume=resume)
    try:
        with out.lock():
            out.begin(photographs, {**about, "batch_size": batch_size})
            line = _Line(pipeline, out, workers)
            count = 0
            try:
                with tqdm(total=len(photographs), desc="predicting", unit="image") as bar:
                    for batch in batches(photographs, batch_size):
                        count += 1
                        if resume and out.progress.is_finished(batch.number, batch.photographs):
                            bar.update(len(batch.photographs))
                        else:
                            bar.update(line.put(batch))
                    bar.update(line.finish())
                out.progress.keep_first(count)
            finally:  # what is done is kept, whatever ends the loop
                line.pool.shutdown(cancel_futures=True)
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
    except Timeout as error:
        raise UserError(
            f"{out.path} is being written by another tvseg predict; wait for its end"
        ) from error
    return tally


class _Line:
    """Reads, predicts and writes three batches at a time."""

    def __init__(self, pipeline: Pipeline, out: OutputFolder, workers: int) -> None:
        self.pipeline = pipeline
        self.out = out
        self.pool = ThreadPoolExecutor(workers)
        self.reading: deque[Batch] = deque()
        self.writing: deque[Batch] = deque()

    def put(self, batch: Batch) -> int:
        """Begin a batch; return how many photographs of earlier ones were finished meanwhile."""
        finished = 0
        while self._held() and self._held() + batch.pixels > MAX_HELD_PIXELS:
            finished += self._advance()
        batch.signatures = [signature(photograph) for photograph in batch.photographs]
        batch.read = [self.pool.submit(_read, photograph) for photograph in batch.photographs]
        self.reading.append(batch)
        while len(self.reading) > 1 or len(self.writing) > 1:
            finished += self._advance()
        return finished

    def finish(self) -> int:
        """Finish every batch; return how many photographs that were."""
        finished = 0
        while self.reading or self.writing:
            finished += self._advance()
        return finished

    def _held(self) -> int:
        return sum(batch.pixels for batch in (*self.reading, *self.writing))

    def _advance(self) -> int:
        """Predict a batch, or finish one when others wait for it to be written."""
        if len(self.writing) > 1 or not self.reading:
            return self._record(self.writing.popleft())
        batch = self.reading.popleft()
        read = [future.result() for future in batch.read]
        batch.read = []  # the pixels are freed as they are written
        pixels = [one[0] for one in read if not isinstance(one, Failure)]
        segmentations = iter(self.pipeline(pixels))
        for photograph, one in zip(batch.photographs, read, strict=True):
            segmentation = None if isinstance(one, Failure) else next(segmentations)
            batch.written.append(self.pool.submit(self._write, photograph, one, segmentation))
        self.writing.append(batch)
        return 0

    def _write(
        self,
        photograph: Photograph,
        read: Pixels | Failure,
        segmentation: Segmentation | UserError | None,
    ) -> Written | Failure:
        if isinstance(read, Failure) or not isinstance(segmentation, Segmentation):
            self.out.remove(photograph)  # of an earlier run, in which the file was better
            return read if isinstance(read, Failure) else Failure(str(segmentation))
        encoding = self.pipeline.encoding
        prediction = Prediction(photograph, *read, segmentation, encoding)
        try:
            self.out.write(photograph, render(prediction, self.out.formats))
        except UserError as error:
            self.out.remove(photograph)
            return Failure(str(error))
        except OSError as error:
            reason = error.strerror or str(error)
            return Failure(f"its outputs cannot be written: {reason}", transient=True)
        return prediction.measurements, coco_annotations(prediction) if self.out.coco else []

    def _record(self, batch: Batch) -> int:
        ids = [photograph.id for photograph in batch.photographs]
        record = BatchRecord(ids, batch.signatures)
        for index, photograph in enumerate(batch.photographs):
            result = batch.written[index].result()
            if isinstance(result, Failure):
                failed = {"id": photograph.id, "path": str(photograph.path)}
                record.failures.append({**failed, "reason": result.reason})
                if result.transient:
                    record.signatures[index] = None
            else:
                record.rows.append(result[0])
                record.annotations.append(result[1])
        self.out.progress.write(batch.number, record)
        return len(ids)


def _read(photograph: Photograph) -> Pixels | Failure:
    try:
        pixels, laterality = read_photograph(photograph.path)
    except (UserError, OSError, MemoryError) as error:
        reason = str(getattr(error, "strerror", None) or error or "not enough memory")
        return Failure(reason.removeprefix(f"{photograph.path}: "))
    listed = photograph.laterality
    return pixels, laterality if listed == "unknown" else listed
