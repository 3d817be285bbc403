"""How far a sweep is, and how long it will take."""

import statistics
from collections import Counter
from dataclasses import dataclass

from tvseg.sweep.cells import SweepFolder, state_of
from tvseg.sweep.plan import SweepPlan


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        finished: Cells that are trained and scored.
        failed: Cells.
        total: Cells.
        seconds_left: Estimated from finished cells; None before the first and after the last.
    """

    finished: int
    failed: int
    total: int
    seconds_left: float | None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f", about {words(self.seconds_left)} left"
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.finished} of {self.total} cells finished{failed}{left}"


def progress_of(plan: SweepPlan, folder: SweepFolder, *, jobs: int = 1) -> SweepProgress:
    """Count the states of the cells, and estimate the time that is left.

    A cell is expected to take as long as the finished ones of its variant, else of all; one that
    lacks nothing but scores, no time.

    Args:
        plan: The sweep.
        folder: Its folder.
        jobs: Cells at a time.
    """
    records = {cell: folder.record(cell) for cell in plan.cells}
    known: dict[str, list[float]] = {}
    for cell, record in records.items():
        if record and record.state == "finished":
            known.setdefault(cell.variant, []).append(record.seconds)
    every = [seconds for of in known.values() for seconds in of]
    states = {cell: state_of(plan, cell, folder) for cell in plan.cells}
    waiting = [cell for cell, state in states.items() if state in ("new", "begun")]
    left = None
    if every and waiting:
        left = sum(statistics.median(known.get(cell.variant, every)) for cell in waiting) / jobs
    count = Counter(states.values())
    return SweepProgress(count["finished"], count["failed"], len(plan.cells), left)


def words(seconds: float) -> str:
    """Return a duration in words: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
