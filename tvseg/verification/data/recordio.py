"""Read InsightFace's RecordIO archives: ``train.rec`` beside ``train.idx``.

Every record begins with the magic word 0xCED7230A and a word of 3 bits of flag and 29 bits of
length. Its payload is ``<IfQQ`` (number of labels, label, two ids), float32 labels where there are
any, and an encoded picture. Three layouts exist: with a header record 0 and records of identities
behind the pictures; with a header and arrays of labels; without a header.

Source: dmlc-core ``recordio.h`` and InsightFace's ``rec_builder``; checked against files written
by MXNet.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tvseg.errors import UserError

MAGIC = 0xCED7230A
_WORD = struct.pack("<I", MAGIC)
_HEADER = struct.Struct("<IfQQ")  # number of labels, label, id, id2


@dataclass(frozen=True)
class PackedFace:
    """One record: its key, its identity and its encoded picture."""

    key: int
    identity: int
    encoded: bytes


class RecordFile:
    """Random access to the pictures of a RecordIO archive.

    Args:
        path: ``NAME.rec``; ``NAME.idx`` must lie beside it.

    Raises:
        UserError: The index is missing, or one of both is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = _read_index(path.with_suffix(".idx"))
        if not self._offsets:
            raise UserError(f"{path.with_suffix('.idx')} must list at least one record, is empty")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self.keys = self._picture_keys()

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[PackedFace]:
        return (self.read(key) for key in self.keys)

    def read(self, key: int) -> PackedFace:
        """Return the record of a key.

        Raises:
            UserError: There is no such key, or the archive is damaged there.
        """
        labels, body = self._unpack(key)
        return PackedFace(key, int(labels[0]), body)

    def _picture_keys(self) -> list[int]:
        """Leave out the header record and the records of identities behind the pictures."""
        first = min(self._offsets)
        count, label = _HEADER.unpack_from(self._payload(first))[:2]
        if first == 0 and count == 2:
            labels, body = self._unpack(0)
            if not body:
                end = int(labels[0])
                return [key for key in sorted(self._offsets) if 0 < key < end]
        if not np.isfinite(label):
            raise self._damaged(first, f"its label is {label}")
        return sorted(self._offsets)

    def _unpack(self, key: int) -> tuple[np.ndarray, bytes]:
        payload = self._payload(key)
        count, label = _HEADER.unpack_from(payload)[:2]
        start = _HEADER.size + 4 * count
        if start > len(payload):
            raise self._damaged(key, f"it announces {count} labels in {len(payload)} bytes")
        labels = np.frombuffer(payload, "<f4", count, _HEADER.size) if count else np.array([label])
        if not np.isfinite(labels).all():
            raise self._damaged(key, "its label is not finite")
        return labels, payload[start:]

    def _payload(self, key: int) -> bytes:
        """Join the parts of a record; the magic word that parted them comes between."""
        if key not in self._offsets:
            raise UserError(f"{self.path} has no record {key}")
        offset = self._offsets[key]
        parts: list[bytes] = []
        while True:
            words = self._data[offset : offset + 8]
            if len(words) < 8 or words[:4] != _WORD:
                raise self._damaged(key, f"no record begins at byte {offset}")
            (word,) = struct.unpack_from("<I", words, 4)
            flag, length = word >> 29, word & (1 << 29) - 1
            body = self._data[offset + 8 : offset + 8 + length]
            if len(body) < length or flag not in ((0, 1) if not parts else (2, 3)):
                raise self._damaged(key, f"the record at byte {offset} is incomplete")
            parts.append(body)
            if flag in (0, 3):
                break
            offset += 8 + (length + 3) // 4 * 4
        payload = _WORD.join(parts)
        if len(payload) < _HEADER.size:
            raise self._damaged(key, f"it has {len(payload)} bytes, at least {_HEADER.size}")
        return payload

    def _damaged(self, key: int, reason: str) -> UserError:
        return UserError(f"{self.path}: record {key} is damaged: {reason}; copy the archive again")


def _read_index(path: Path) -> dict[int, int]:
    """Read ``key TAB offset`` lines."""
    if not path.is_file():
        raise UserError(f"{path} is missing: a .rec archive needs its .idx file beside it")
    offsets: dict[int, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            key, offset = (int(part) for part in line.split())
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: must be a key and a byte offset, got {line[:40]!r}"
            ) from error
        if key < 0 or offset < 0:
            raise UserError(f"{path}, line {number}: key and offset must not be negative")
        offsets[key] = offset
    return offsets
