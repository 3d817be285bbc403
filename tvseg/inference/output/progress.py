"""What of a folder of predictions is finished, so that a killed run can go on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tvseg.errors import UserError
from tvseg.files import write_text
from tvseg.inference.input.find import Photograph
from tvseg.inference.prediction import Measurements
from tvseg.remote_files import RemoteFile

FOLDER = ".progress"
Signature = tuple[int, int, str, float | None]
"""Bytes and time of change (ns) of a file, and what a list says of it."""


@dataclass(frozen=True)
class BatchRecord:
    """One finished batch.

    Attributes:
        ids: Of its photographs, in order.
        signatures: Of these; ``None`` for one to try again.
        rows: Of ``measurements.csv``.
        failures: Of ``failures.csv``.
        annotations: Of each row's photograph, for COCO.
    """

    ids: list[str]
    signatures: list[Signature | None]
    rows: list[Measurements] = field(default_factory=list)
    failures: list[Measurements] = field(default_factory=list)
    annotations: list[list[dict[str, Any]]] = field(default_factory=list)


class BatchRecords:
    """Records of finished batches, each in a file of its own.

    Args:
        out: The folder of predictions.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def write(self, number: int, record: BatchRecord) -> None:
        """Keep the record of a batch, whose outputs are all written."""
        write_text(self._path(number), json.dumps(asdict(record), ensure_ascii=False))

    def is_finished(self, number: int, batch: Sequence[Photograph]) -> bool:
        """Whether a batch was finished with these very files; else it is to be done as a whole.

        Batches are done or left as a whole because a network's last bits depend on what else is in
        the batch.
        """
        if not self._path(number).is_file():
            return False
        record = self._read(self._path(number))
        now = [signature(photograph) for photograph in batch]
        known = record.ids == [photograph.id for photograph in batch] and record.signatures == now
        return known and None not in now

    def records(self) -> Iterator[BatchRecord]:
        """All records, in the order of batches."""
        for path in sorted(self.folder.glob("*.json")):
            yield self._read(path)

    def keep_first(self, count: int) -> None:
        """Remove the records of batches from a number on, which a shorter list of files has not."""
        for path in self.folder.glob("*.json"):
            if int(path.stem) >= count:
                path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:07d}.json"

    def _read(self, path: Path) -> BatchRecord:
        try:
            tree = json.loads(path.read_text("utf-8"))
            tree["signatures"] = [one and tuple(one) for one in tree["signatures"]]
            return BatchRecord(**tree)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path} is damaged ({error}); remove it and --resume") from error


def signature(photograph: Photograph) -> Signature | None:
    """What must not change for a prediction to stay good; ``None`` when there is no file."""
    if isinstance(photograph.path, RemoteFile):
        return 0, 0, photograph.laterality, photograph.um_per_px  # taken as unchanged
    try:
        status = photograph.path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, photograph.laterality, photograph.um_per_px
