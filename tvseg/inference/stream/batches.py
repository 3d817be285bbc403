"""Photographs in batches, from their files to what is kept of each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from tvseg.errors import UserError
from tvseg.inference.input.find import Photograph
from tvseg.inference.input.read import Pixels, count_pixels, read_photograph
from tvseg.inference.output.progress import Signature
from tvseg.inference.prediction import Measurements
from tvseg.remote_files import RemoteFile

MAX_BATCH_PIXELS = 32_000_000  # 96 MB

Written = tuple[Measurements, list[dict[str, Any]]]
"""A row of the table, and annotations for COCO."""


@dataclass(frozen=True)
class Failure:
    """Why a photograph has no prediction, and whether it may have one without another file."""

    reason: str
    transient: bool = False


@dataclass
class Batch:
    """Photographs that are handled together; which, depends on their files alone.

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


def read(photograph: Photograph) -> Pixels | Failure:
    """Read a photograph, or say why it cannot be read."""
    try:
        pixels, laterality = read_photograph(photograph.path)
    except (UserError, OSError, MemoryError) as error:
        reason = str(getattr(error, "strerror", None) or error or "not enough memory")
        unreachable = isinstance(error, OSError) and isinstance(photograph.path, RemoteFile)
        return Failure(reason.removeprefix(f"{photograph.path}: "), transient=unreachable)
    listed = photograph.laterality
    return pixels, laterality if listed == "unknown" else listed
