"""An orderly stop: SIGTERM lets the step end, and be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tvseg.errors import UserError


class TrainingStopped(UserError):  # noqa: N818  (a state of the training, and reads as one)
    """The process was asked to end (SIGTERM); ``--resume`` continues bit for bit.

    Attributes:
        done: How far the training came, such as ``after step 3 of 6``.
    """

    exit_code = 4
    done = ""

    @staticmethod
    def of(run: Path, done: str) -> "TrainingStopped":
        """Return the error that names the run to continue.

        Args:
            run: Its folder.
            done: How far the training came.
        """
        error = TrainingStopped(f"stopped by SIGTERM {done}; continue {run} with --resume")
        error.done = done
        return error


class _Stop(threading.Event):
    """Set by SIGTERM, and then those of the trainings that this one is an inner run of."""

    outer: object = None

    def __call__(self, *_: object) -> None:
        self.set()
        if isinstance(self.outer, _Stop):
            self.outer()


@contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """Set an event at SIGTERM instead of ending the process, in the main thread."""
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = stop.outer = signal.signal(signal.SIGTERM, stop)
    if isinstance(previous, _Stop) and previous.is_set():
        stop.set()  # it arrived before this training did
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, previous)
