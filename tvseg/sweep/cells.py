"""What is known of each cell, and how one is run: training and scoring as subprocesses."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from tvseg.errors import UserError
from tvseg.files import read_json, write_json
from tvseg.runs.folder import RunFolder
from tvseg.sweep.plan import SweepCell, SweepPlan
from tvseg.sweep.processes import STOPPED, Processes

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
            content = json.loads(self._file(cell).read_text(encoding="utf-8"))
            found = CellRecord(**content)
        except (OSError, ValueError, TypeError):
            return None
        return found if found.fingerprint == cell.fingerprint else None

    def state(self, cell: SweepCell) -> State:
        """Return the state of a cell."""
        found = self.record(cell)
        return "new" if found is None else found.state

    def finished_at(self, cell: SweepCell) -> float:
        """Return when the record of a cell was written, in seconds since 1970."""
        return self._file(cell).stat().st_mtime

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
            with FileLock(self.path / _LOCK, timeout=0):
                yield
        except Timeout as error:
            raise UserError(
                f"{self.path} must have one sweep at a time, another one runs: wait for its end, "
                "or name another folder with --out"
            ) from error

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


def scores_of(
    plan: SweepPlan, run: Path, protocol: str, images: str = "test"
) -> list[dict[str, Any]] | None:
    """Return the rows that a scoring has left in a run folder, of the sweep file's checkpoint.

    Returns:
        The rows; None where the run is not scored so, or its scores are damaged.
    """
    scored, checkpoint = run / "eval" / protocol, plan.file.checkpoint
    if plan.file.kind.holds_out:
        # imports scipy, which the plan of a new sweep takes no time for
        from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring

        scored = Scoring(PROTOCOLS[protocol], images, checkpoint).folder(RunFolder(run))
    try:
        content = read_json(scored / plan.file.kind.scores)
        rows: list[dict[str, Any]] = content["scores"]
        return rows if content.get("checkpoint", checkpoint) == checkpoint else None
    except (OSError, UserError, KeyError, TypeError, AttributeError):
        return None


def state_of(plan: SweepPlan, cell: SweepCell, folder: SweepFolder) -> State | Literal["trained"]:
    """Return the state of a cell, ``trained`` where a finished one lacks scores of the sweep file.

    Protocols, the checkpoint and the centres to score may change without another training.
    """
    state, run = folder.state(cell), folder.runs / cell.name
    scorings = scorings_of(plan, cell) if state == "finished" else []
    return "trained" if any(scores_of(plan, run, *one) is None for one in scorings) else state


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
        processes were stopped. As it was, with a reason, where another training holds the run.
    """
    processes = processes or Processes()
    before = folder.record(cell)
    if why := folder.make_way(cell):
        return replace(before or CellRecord(cell.fingerprint, "new"), reason=why)
    folder.logs.mkdir(parents=True, exist_ok=True)
    began, seconds = time.monotonic(), before.seconds if before else 0.0
    attempts = before.attempts if before else 0
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    reason, again = "", True
    for _ in range(1 + RETRIES):
        attempts += 1
        spent = seconds + time.monotonic() - began
        folder.write(cell, CellRecord(cell.fingerprint, "begun", spent, attempts))
        reason, again = _run_commands(
            commands_of(plan, cell, folder), folder.log(cell), environment, processes
        )
        if processes.stopped or not (reason and again):
            break
    state: State = "failed" if reason else "finished"
    if reason and processes.stopped:
        state, reason = "begun", "stopped"
    spent = seconds + time.monotonic() - began
    record = CellRecord(cell.fingerprint, state, spent, attempts, reason)
    folder.write(cell, record)
    return record


def _run_commands(
    commands: Sequence[Sequence[str]],
    log: Path,
    environment: Mapping[str, str],
    processes: Processes,
) -> tuple[str, bool]:
    """Run commands until one fails; return why, and whether another attempt may help."""
    for command in commands:
        with log.open("ab") as file:
            file.write(f"\n$ {' '.join(command)}\n".encode())
            file.flush()
            start = file.tell()
            code = processes.run(command, output=file, environment=environment)
        if code:
            with log.open("rb") as file:
                file.seek(start)
                said = file.read().decode("utf-8", "replace")
            return why_it_failed(code, said)
    return "", False


def why_it_failed(code: int, said: str) -> tuple[str, bool]:
    """Tell out of memory, a kill, a diverged training and other failures apart.

    Args:
        code: Exit code; negative or above 128 for a signal.
        said: What the process printed.

    Returns:
        The reason in words, and whether another attempt may help.
    """
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "").strip()
    number = -code if code < 0 else code - 128
    if "out of memory" in said.lower() or "MemoryError" in said:
        return f"out of memory: {last}", False
    if number == signal.SIGKILL:
        return "killed (SIGKILL), by a user or by the system for want of memory", True
    if code == STOPPED:
        return "stopped by SIGTERM, its last step saved", True
    if code < 0 or number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        return f"ended by {signal.Signals(number).name}", True
    if "loss" in last and "finite" in last:
        return f"diverged: {last}", False
    return f"exit code {code}: {last}", False


def check_free(folder: SweepFolder) -> None:
    """Raise UserError unless a folder is new, empty or one of a sweep."""
    path = folder.path
    ours = folder.has_begun or (path / "sweep.json").is_file()
    if path.exists() and {one.name for one in path.iterdir()} - {_LOCK} and not ours:
        raise UserError(f"{path} must be a new folder or one of a sweep: name another one")
