"""A folder of photographs in, a folder of contours and measurements out, of any length.

Photographs go through in batches: while one is in the network, the next is being read and the one
before is being written, by threads. No more than a few batches are held.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from tqdm import tqdm

from tvseg.inference.input.find import Photograph
from tvseg.inference.input.read import Picture, count_pixels, read_photograph
from tvseg.inference.output.folder import Outcome, OutputFolder
from tvseg.inference.output.formats.polygons import coco_annotations
from tvseg.inference.output.progress import Record, Signature, signature
from tvseg.inference.pipeline import Finding, Pipeline
from tvseg.inference.prediction import Prediction, Row
from tvseg.runs.folder import now, provenance

MAX_BATCH_PIXELS = 32_000_000  # 96 MB
MAX_HELD_PIXELS = 3 * MAX_BATCH_PIXELS


class Batch(NamedTuple):
    """Photographs that go through the network together; depends on their files alone."""

    number: int
    photographs: list[Photograph]
    pixels: int


@dataclass(frozen=True)
class Failure:
    """Why a photograph has no prediction, and whether it may have one without another file."""

    reason: str
    transient: bool = False


class _Done(NamedTuple):
    row: Row
    annotations: list[dict[str, Any]]


class _Started(NamedTuple):
    batch: Batch
    signatures: list[Signature | None]  # before the files are read
    pictures: list[Future[Picture | Failure]]


class _Predicted(NamedTuple):
    batch: Batch
    signatures: list[Signature | None]
    results: list[Future[_Done | Failure]]


def batches(photographs: Sequence[Photograph], size: int) -> Iterator[Batch]:
    """Batches of at most ``size`` photographs and, unless it is a single one, 32 megapixels."""
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
    command: str,
    batch_size: int = 8,
    workers: int = 2,
    resume: bool = False,
) -> Outcome:
    """Predict photographs; a bad one is listed and the rest goes on.

    Writes a folder for each format, ``measurements.csv``, ``coco.json`` if asked for, ``run.json``,
    and ``failures.csv`` when something failed.

    Args:
        photographs: What to predict.
        pipeline: How.
        out: Folder to write, new or empty, or to be resumed.
        about: What decides the output apart from the photographs; kept in ``run.json``.
        command: As the user gave it; for ``run.json``.
        batch_size: Photographs that go through the network together. A network's last bits depend
            on it.
        workers: Threads that read and write.
        resume: Leave alone what is finished, if the files are still the same.

    Returns:
        What became of the photographs, those included that were finished before.

    Raises:
        ValueError: ``out`` holds something else.
        OSError: ``out`` cannot be written.
    """
    begun = time.monotonic()
    circumstances = provenance(command, str(pipeline.ensemble.predictors[0].device))
    out.open(photographs, {**about, "batch_size": batch_size}, resume=resume)
    line = _Line(pipeline, out, workers)
    count = 0
    try:
        with tqdm(total=len(photographs), desc="predicting", unit="image") as bar:
            for batch in batches(photographs, batch_size):
                count += 1
                if resume and out.progress.is_finished(batch.number, batch.photographs):
                    bar.update(len(batch.photographs))
                    continue
                bar.update(line.put(batch))
            bar.update(line.finish())
        out.progress.keep_first(count)
    finally:  # what is done is kept, whatever ends the loop
        line.stop()
        outcome = out.write_tables()
    out.write_info(
        **circumstances,
        finished=now(),
        seconds=round(time.monotonic() - begun, 1),
        counts={
            "photographs": len(photographs),
            "predicted": outcome.predicted,
            "failed": outcome.failed,
            "flags": dict(outcome.flags),
        },
    )
    return outcome


class _Line:
    """Reads, predicts and writes three batches at a time."""

    def __init__(self, pipeline: Pipeline, out: OutputFolder, workers: int) -> None:
        self.pipeline = pipeline
        self.out = out
        self.pool = ThreadPoolExecutor(workers)
        self.reading: deque[_Started] = deque()
        self.writing: deque[_Predicted] = deque()

    def put(self, batch: Batch) -> int:
        """Begin a batch; returns how many photographs of earlier ones were finished meanwhile."""
        finished = 0
        while self._held() and self._held() + batch.pixels > MAX_HELD_PIXELS:
            finished += self._advance()
        signatures = [signature(photograph) for photograph in batch.photographs]
        pictures = [self.pool.submit(_read, photograph) for photograph in batch.photographs]
        self.reading.append(_Started(batch, signatures, pictures))
        while len(self.reading) > 1 or len(self.writing) > 1:
            finished += self._advance()
        return finished

    def finish(self) -> int:
        """Finish every batch; returns how many photographs that were."""
        finished = 0
        while self.reading or self.writing:
            finished += self._advance()
        return finished

    def stop(self) -> None:
        """Begin nothing more and wait for what has begun."""
        self.pool.shutdown(cancel_futures=True)

    def _held(self) -> int:
        held = [started.batch for started in self.reading]
        held += [predicted.batch for predicted in self.writing]
        return sum(batch.pixels for batch in held)

    def _advance(self) -> int:
        """Predict a batch, or finish one when others wait for it to be written."""
        if len(self.writing) > 1 or not self.reading:
            return self._record(self.writing.popleft())
        self.writing.append(self._predict(self.reading.popleft()))
        return 0

    def _predict(self, started: _Started) -> _Predicted:
        pictures = [future.result() for future in started.pictures]
        findings = iter(self.pipeline([one.pixels for one in pictures if isinstance(one, Picture)]))
        results = [
            self.pool.submit(
                self._write,
                photograph,
                picture,
                next(findings) if isinstance(picture, Picture) else None,
            )
            for photograph, picture in zip(started.batch.photographs, pictures, strict=True)
        ]
        return _Predicted(started.batch, started.signatures, results)

    def _write(
        self,
        photograph: Photograph,
        picture: Picture | Failure,
        finding: Finding | ValueError | None,
    ) -> _Done | Failure:
        if isinstance(picture, Failure) or not isinstance(finding, Finding):
            self.out.remove(photograph)  # of an earlier run, in which the file was better
            return picture if isinstance(picture, Failure) else Failure(str(finding))
        prediction = Prediction(photograph, picture, finding, self.pipeline.encoding)
        try:
            self.out.write(photograph, self.out.render(prediction))
        except ValueError as error:
            self.out.remove(photograph)
            return Failure(str(error))
        except OSError as error:
            reason = error.strerror or str(error)
            return Failure(f"its outputs cannot be written: {reason}", transient=True)
        return _Done(prediction.row(), coco_annotations(prediction) if self.out.coco else [])

    def _record(self, done: _Predicted) -> int:
        photographs = done.batch.photographs
        record = Record([photograph.id for photograph in photographs], done.signatures)
        for place, (photograph, future) in enumerate(zip(photographs, done.results, strict=True)):
            result = future.result()
            if isinstance(result, _Done):
                record.rows.append(result.row)
                record.annotations.append(result.annotations)
                continue
            record.failures.append(
                {"id": photograph.id, "path": str(photograph.path), "reason": result.reason}
            )
            if result.transient:
                record.signatures[place] = None
        self.out.progress.write(done.batch.number, record)
        return len(photographs)


def _read(photograph: Photograph) -> Picture | Failure:
    try:
        return read_photograph(photograph.path)
    except (ValueError, OSError, MemoryError) as error:
        reason = str(getattr(error, "strerror", None) or error or "not enough memory")
        return Failure(reason.removeprefix(f"{photograph.path}: "))
