"""Which photographs of a set are one process's."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvseg.errors import UsageError
from tvseg.inference.input.find import Photograph


@dataclass(frozen=True)
class Shard:
    """One of several parts of a set; which part a photograph is in depends on its id alone.

    Attributes:
        index: From 1 on.
        count: Of all parts.
    """

    index: int
    count: int

    @staticmethod
    def parse(text: str) -> "Shard":
        """Return the part that ``I/N`` means.

        Raises:
            UsageError: Not two whole numbers with 1 <= I <= N.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        index, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(
                f"shard must be I/N, part I of N, counted from 1, such as 3/100; got {text!r}"
            )
        return Shard(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, photograph_id: str) -> bool:
        """Return whether a photograph belongs to this part."""
        digest = hashlib.sha256(photograph_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


@dataclass(frozen=True)
class PhotographSet:
    """All photographs of a run that several processes share.

    Attributes:
        photographs: In the order of the table.
    """

    photographs: Sequence[Photograph]

    @property
    def about(self) -> dict[str, Any]:
        """What must be the same in every process."""
        digest = hashlib.sha256()
        for one in self.photographs:
            digest.update(f"{one.id}\0{one.laterality}\0{one.um_per_px}\n".encode())
        return {"count": len(self.photographs), "sha256": digest.hexdigest()}

    def numbered(self, shard: Shard | None = None) -> dict[int, Photograph]:
        """Return the photographs of a part, or all, by their place in the table."""
        return {
            number: one
            for number, one in enumerate(self.photographs)
            if shard is None or shard.holds(one.id)
        }
