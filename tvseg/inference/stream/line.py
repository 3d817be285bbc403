"""Batches on their way through reading, network and writing, several at a time."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tvseg.errors import UserError
from tvseg.inference.input.find import Photograph
from tvseg.inference.input.read import Pixels
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.formats import render
from tvseg.inference.output.formats.polygons import coco_annotations
from tvseg.inference.output.progress import BatchRecord, signature
from tvseg.inference.pipeline import Pipeline, Segmentation
from tvseg.inference.prediction import Prediction
from tvseg.inference.stream.batches import MAX_BATCH_PIXELS, Batch, Failure, Written, read

MAX_HELD_PIXELS = 3 * MAX_BATCH_PIXELS


@dataclass(frozen=True)
class FinishedBatch:
    """A batch whose outputs are all written.

    Attributes:
        number: Of the batch.
        record: What is kept of it.
        unfinished: Ids of failures that may pass without another file, such as of a full disk.
    """

    number: int
    record: BatchRecord
    unfinished: set[str] = field(default_factory=set)


class PredictionLine:
    """Predicts batches and writes what each photograph leaves.

    Holds the batches that are begun: at most a few, of 96 megapixels together.

    Args:
        pipeline: How. One that takes photographs alone is called by every worker, another by the
            caller's thread with a batch at a time, while the next is read and the one before is
            written.
        out: Where to write.
        workers: Threads.
        annotations: Whether records have annotations whatever the formats.
    """

    def __init__(
        self, pipeline: Pipeline, out: OutputFolder, *, workers: int, annotations: bool = False
    ) -> None:
        self.pipeline = pipeline
        self.out = out
        self.annotations = annotations or out.coco
        self.pool = ThreadPoolExecutor(workers)
        self.reading: deque[Batch] = deque()
        self.writing: deque[Batch] = deque()

    def run(self, batches: Iterable[Batch]) -> Iterator[FinishedBatch]:
        """Predict batches, and yield each once it is finished, in order."""
        try:
            for batch in batches:
                while self._held() and self._held() + batch.pixels > MAX_HELD_PIXELS:
                    yield from self._advance()
                batch.signatures = [signature(photograph) for photograph in batch.photographs]
                submit = self.pool.submit
                if self.pipeline.alone:
                    batch.written = [submit(self._predict, one) for one in batch.photographs]
                    self.writing.append(batch)
                else:
                    batch.read = [submit(read, one) for one in batch.photographs]
                    self.reading.append(batch)
                while len(self.reading) > 1 or len(self.writing) > 1:
                    yield from self._advance()
            while self.reading or self.writing:
                yield from self._advance()
        finally:
            self.pool.shutdown(cancel_futures=True)

    def _held(self) -> int:
        return sum(batch.pixels for batch in (*self.reading, *self.writing))

    def _advance(self) -> Iterator[FinishedBatch]:
        """Predict a batch, or finish one when others wait for it to be written."""
        if len(self.writing) > 1 or not self.reading:
            yield _finished(self.writing.popleft())
            return
        batch = self.reading.popleft()
        results = [future.result() for future in batch.read]
        batch.read = []  # the pixels are freed as they are written
        pixels = [one[0] for one in results if not isinstance(one, Failure)]
        segmentations = iter(self.pipeline(pixels))
        for photograph, one in zip(batch.photographs, results, strict=True):
            segmentation = None if isinstance(one, Failure) else next(segmentations)
            batch.written.append(self.pool.submit(self._write, photograph, one, segmentation))
        self.writing.append(batch)

    def _predict(self, photograph: Photograph) -> Written | Failure:
        one = read(photograph)
        segmentation = None if isinstance(one, Failure) else self.pipeline([one[0]])[0]
        return self._write(photograph, one, segmentation)

    def _write(
        self,
        photograph: Photograph,
        one: Pixels | Failure,
        segmentation: Segmentation | UserError | None,
    ) -> Written | Failure:
        if isinstance(one, Failure) or not isinstance(segmentation, Segmentation):
            self.out.remove(photograph)  # of an earlier run, in which the file was better
            return one if isinstance(one, Failure) else Failure(str(segmentation))
        prediction = Prediction(photograph, *one, segmentation, self.pipeline.encoding)
        try:
            self.out.write(photograph, render(prediction, self.out.formats))
        except UserError as error:
            self.out.remove(photograph)
            return Failure(str(error))
        except OSError as error:
            reason = error.strerror or str(error)
            return Failure(f"its outputs cannot be written: {reason}", transient=True)
        return prediction.measurements, coco_annotations(prediction) if self.annotations else []


def _finished(batch: Batch) -> FinishedBatch:
    record = BatchRecord([photograph.id for photograph in batch.photographs], batch.signatures)
    finished = FinishedBatch(batch.number, record)
    for index, photograph in enumerate(batch.photographs):
        result = batch.written[index].result()
        if isinstance(result, Failure):
            failed = {"id": photograph.id, "path": str(photograph.path)}
            record.failures.append({**failed, "reason": result.reason})
            if result.transient:
                record.signatures[index] = None
                finished.unfinished.add(photograph.id)
        else:
            record.rows.append(result[0])
            record.annotations.append(result[1])
    return finished
