"""What is known of each cell, and how one is run: training and scoring as subprocesses."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import TypeAdapter

from tvseg.errors import UserError
from tvseg.files import read_json, write_json
from tvseg.runs.folder import RunFolder
from tvseg.sweep.plan import SweepCell, SweepPlan
from tvseg.sweep.processes import Processes, run_commands

Scores = dict[tuple[str, str], float]
"""What is scored apart (a structure, a set of pairs) and centre, empty without -> score in %."""

State = Literal["new", "begun", "finished", "failed"]

_LOCK = ".lock"

RETRIES = 2
"""How often a cell that was killed is started again before it counts as failed."""


@dataclass(frozen=True)
class CellRecord:
    """What is kept of a cell on disk.

    Attributes:
        fingerprint: Of the cell; a record of another one belongs to older settings or data.
        state: ``begun`` also of a cell that was stopped, or whose driver died.
        seconds: Of all attempts.
        attempts: How often it was started.
        reason: Why it failed or was left, in words.
    """

    fingerprint: str
    state: State
    seconds: float = 0.0
    attempts: int = 0
    reason: str = ""


_RECORDS = TypeAdapter(CellRecord)


class SweepFolder:
    """The folder of a sweep: ``runs/``, ``logs/``, ``cells/``, and what was replaced in ``old/``.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"
        self.logs = path / "logs"
        self.digests = path / "data-digests.json"

    @property
    def has_begun(self) -> bool:
        """Whether records of cells may be there."""
        return (self.path / "cells").is_dir()

    def record(self, cell: SweepCell) -> CellRecord | None:
        """Return the record of a cell, None where there is none of this fingerprint."""
        try:
            found = _RECORDS.validate_python(read_json(self._file(cell)))
        except (OSError, UserError, ValueError):
            return None
        return found if found.fingerprint == cell.fingerprint else None

    def state(self, cell: SweepCell) -> State:
        """Return the state of a cell."""
        found = self.record(cell)
        return "new" if found is None else found.state

    def write(self, cell: SweepCell, record: CellRecord) -> None:
        """Keep the record of a cell."""
        write_json(self._file(cell), asdict(record))

    def make_way(self, cell: SweepCell) -> str:
        """Move the run of other settings, data or version that has the cell's name to ``old/``.

        Returns:
            Why the cell must be left alone; empty where no training holds the run folder.
        """
        run = self.runs / cell.name
        if not run.exists():
            return ""
        try:
            with RunFolder(run).lock():
                if self.record(cell) is None:
                    stamp = time.strftime("%Y%m%d-%H%M%S")
                    target = self.path / "old" / f"{cell.name}-{stamp}"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    run.rename(target)
        except Timeout:
            return f"{run} must be free, another training writes it: sweep again after its end"
        return ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for the process that drives the sweep.

        Raises:
            UserError: Another one holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(self.path / _LOCK, timeout=0).acquire()
        except Timeout as error:
            raise UserError(
                f"{self.path} must have one sweep at a time, another one runs: wait for its end, "
                "or name another folder with --out"
            ) from error
        with held:
            yield

    def log(self, cell: SweepCell) -> Path:
        """Return the path of the log of a cell."""
        return self.logs / f"{cell.name}.log"

    def _file(self, cell: SweepCell) -> Path:
        return self.path / "cells" / f"{cell.name}.json"


def scorings_of(plan: SweepPlan, cell: SweepCell) -> list[tuple[str, str]]:
    """Return the protocol and the images, ``test`` or ``sources``, of each scoring of a cell."""
    images = [] if cell.holdout == "none" else ["test"]
    images += ["sources"] if cell.sources else []
    return [(protocol, which) for protocol in plan.file.protocols for which in images]


def scores_of(plan: SweepPlan, run: Path, protocol: str, images: str = "test") -> Scores | None:
    """Return what a scoring has left in a run folder, of the sweep file's checkpoint.

    Returns:
        The scores; None where the run is not scored so, or its scores are damaged.
    """
    scored, checkpoint = run / "eval" / protocol, plan.file.checkpoint
    if plan.file.kind.holds_out:
        # imports scipy, which the plan of a new sweep takes no time for
        from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring

        scored = Scoring(PROTOCOLS[protocol], images, checkpoint).folder(RunFolder(run))
    try:
        content = read_json(scored / plan.file.kind.scores)
        if not content["scores"] or content.get("checkpoint", checkpoint) != checkpoint:
            return None
        scores = _READERS[plan.file.task](content["scores"])
    except (OSError, UserError, LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return scores if all(math.isfinite(value) for value in scores.values()) else None


def _dice(rows: list[dict[str, Any]]) -> Scores:
    from tvseg.evaluation.schema import MEAN_MASK  # imports pandas

    return {
        (str(row["structure"]), str(row["centre"])): float(row["mean"])
        for row in rows
        if row["metric"] == "dice" and row["variant"] != MEAN_MASK and row["mean"] is not None
    }


def _accuracy(rows: list[dict[str, Any]]) -> Scores:
    return {(str(row["set"]), ""): float(row["accuracy"]) for row in rows}


_READERS: dict[str, Callable[[list[dict[str, Any]]], Scores]] = {
    "segmentation": _dice,
    "faces": _accuracy,
}


def is_trained(plan: SweepPlan, cell: SweepCell, folder: SweepFolder) -> bool:
    """Return whether the training of a cell has ended; that it has scores shows it, too."""
    state, run = folder.state(cell), folder.runs / cell.name
    return state == "finished" or (
        state != "new"
        and any(scores_of(plan, run, *one) is not None for one in scorings_of(plan, cell))
    )


def state_of(plan: SweepPlan, cell: SweepCell, folder: SweepFolder) -> State | Literal["trained"]:
    """Return the state of a cell, ``trained`` where it lacks nothing but scores.

    Protocols, the checkpoint and the centres to score may change without another training, so what
    is scored counts, not what was asked for when the cell ended.
    """
    state, run = folder.state(cell), folder.runs / cell.name
    if not is_trained(plan, cell, folder):
        return state
    if all(scores_of(plan, run, *one) is not None for one in scorings_of(plan, cell)):
        return "finished"
    return "failed" if state == "failed" else "trained"


def commands_of(plan: SweepPlan, cell: SweepCell, folder: SweepFolder) -> list[list[str]]:
    """Return the commands of a cell: the training, then each scoring that it lacks."""
    program = [sys.executable, "-m", "tvseg", *plan.file.kind.group]
    configs = [part for path in cell.configs for part in ("--config", str(path))]
    holdout = [] if cell.holdout is None else ["--holdout", cell.holdout]
    train = [*program, "train", *holdout, "--data", str(plan.data),
             "--out", str(folder.runs), "--resume", *configs, *cell.overrides]  # fmt: skip
    run = folder.runs / cell.name
    scorings = [
        [*program, "eval", str(run), "--data", str(plan.data), "--protocol", protocol,
         "--checkpoint", plan.file.checkpoint, *(["--images", images] if images != "test" else [])]
        for protocol, images in scorings_of(plan, cell)
        if scores_of(plan, run, protocol, images) is None
    ]  # fmt: skip
    return [train, *scorings]


def run_cell(
    plan: SweepPlan,
    cell: SweepCell,
    folder: SweepFolder,
    *,
    threads: int | None = None,
    processes: Processes | None = None,
) -> CellRecord:
    """Run a cell to its end: train with ``--resume``, retry when killed, score.

    Args:
        plan: The sweep.
        cell: Of it.
        folder: Gets the run, the log and the record.
        threads: Of torch in the cell; None leaves it to torch.
        processes: Those that are stopped together with the cell's.

    Returns:
        The record, which is on disk as well: ``finished``, ``failed``, or ``begun`` where the
        processes were stopped. ``begun``, with a reason, where another training holds the run.
    """
    processes = processes or Processes()
    before = folder.record(cell)
    if why := folder.make_way(cell):
        return _left(cell, before, why)
    folder.logs.mkdir(parents=True, exist_ok=True)
    began, seconds = time.monotonic(), before.seconds if before else 0.0
    attempts = before.attempts if before else 0
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    reason, again = "", True
    for _ in range(1 + RETRIES):
        attempts += 1
        spent = seconds + time.monotonic() - began
        folder.write(cell, CellRecord(cell.fingerprint, "begun", spent, attempts))
        reason, again = run_commands(
            commands_of(plan, cell, folder), folder.log(cell), environment, processes
        )
        if processes.stopped or not (reason and again):
            break
    if reason and (why := folder.make_way(cell)):  # it was taken while this one began
        return _left(cell, before, why)
    state: State = "failed" if reason else "finished"
    if reason and processes.stopped:
        state, reason = "begun", "stopped"
    spent = seconds + time.monotonic() - began
    record = CellRecord(cell.fingerprint, state, spent, attempts, reason)
    folder.write(cell, record)
    return record


def _left(cell: SweepCell, before: CellRecord | None, why: str) -> CellRecord:
    return replace(before or CellRecord(cell.fingerprint, "begun"), state="begun", reason=why)


def check_free(folder: SweepFolder) -> None:
    """Raise UserError unless a folder is new, empty or one of a sweep."""
    path = folder.path
    ours = folder.has_begun or (path / "sweep.json").is_file()
    if path.exists() and {one.name for one in path.iterdir()} - {_LOCK} and not ours:
        raise UserError(f"{path} must be a new folder or one of a sweep: name another one")
