"""An orderly stop: SIGTERM lets the step end, and be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tvseg.errors import UserError


class TrainingStopped(UserError):  # noqa: N818  (a state of the training, and reads as one)
    """The process was asked to end (SIGTERM); ``--resume`` continues bit for bit."""

    exit_code = 4


@contextmanager
def stop_on_sigterm() -> Iterator[threading.Event]:
    """Set an event at SIGTERM instead of ending the process, in the main thread."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, previous)
