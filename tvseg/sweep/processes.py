"""The processes of cells: apart from the terminal's signals, and stopped together."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO

STOPPED = 4
"""Exit code of a training that SIGTERM has stopped; ``--resume`` continues it."""

GRACE_S = 300.0
"""How long processes that were asked to stop may finish a step or a validation."""

SAME_S = 1.0
"""Requests to stop within this time are one: ``timeout`` sends its signal twice."""

_PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)

_log = logging.getLogger("tvseg")


class Processes:
    """Processes that run at the same time, each in a session of its own, and stop together.

    Attributes:
        stopped: Whether they were asked to stop; then none is started any more.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()  # of the set; no signal handler takes it
        self._requests: SimpleQueue[bool] = SimpleQueue()  # to stop; False at the end
        self._latest_request = -SAME_S

    def run(
        self, command: Sequence[str], *, output: BinaryIO, environment: Mapping[str, str]
    ) -> int:
        """Run a command to its end.

        Args:
            command: The program and its arguments.
            output: File that gets what the process prints.
            environment: Its environment variables.

        Returns:
            The exit code, negative for a signal; :data:`STOPPED` of a command that is not started
            because the processes were asked to stop.
        """
        with self._lock:
            if self.stopped:
                return STOPPED
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=environment, start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip
            self._running.add(process)
        try:
            return process.wait()
        except BaseException:  # an interrupt outside of stopped_by_signals
            _kill(process)
            process.wait()
            raise
        finally:
            with self._lock:
                self._running.discard(process)

    def stop(self) -> None:
        """Ask every process to end after its step (SIGTERM); the second request kills them.

        Takes effect within :meth:`stopped_by_signals`, and may be called by a signal handler.
        """
        self.stopped = True
        now = time.monotonic()
        if now - self._latest_request >= SAME_S:
            self._requests.put(True)
        self._latest_request = now

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Call :meth:`stop` at SIGINT, SIGTERM and SIGHUP, in the main thread.

        Processes that have not ended after :data:`GRACE_S` are killed. Signals that this process
        ignores, as under ``nohup``, are ignored further on.
        """
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        handlers = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    handlers[number] = signal.signal(number, lambda *_: self.stop())
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._requests.put(False)
            watcher.join()

    def _watch(self) -> None:
        """Act on requests to stop, outside of the signal handler."""
        if not self._requests.get():
            return
        with self._lock:
            for process in self._running:
                process.terminate()
            count = len(self._running)
        if count:
            _log.warning("stopping after the step (processes: %d); a second signal kills", count)
        again = True
        with suppress(Empty):
            again = self._requests.get(timeout=GRACE_S)
        if again:
            with self._lock:
                for process in self._running:
                    _kill(process)


def run_commands(
    commands: Sequence[Sequence[str]],
    log: Path,
    environment: Mapping[str, str],
    processes: Processes,
) -> tuple[str, bool]:
    """Run commands until one fails.

    Args:
        commands: One after the other.
        log: File that gets what they print.
        environment: Their environment variables.
        processes: Those that they are stopped with.

    Returns:
        Why one failed, empty where none did, and whether another attempt may help.
    """
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


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and those that it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """Ask Linux to kill this process with the thread that started it, so that none is orphaned."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
