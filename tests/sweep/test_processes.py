"""Processes of cells: what a signal to the driver of a sweep leaves of them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tvseg.sweep import processes
from tvseg.sweep.processes import STOPPED, Processes

SWEEP = "variants: {one: {aspp: dense}, two: {aspp: dense}}\nholdouts: [none]\n"

# The command line, whose cells run the code of a file instead of a training.
DRIVER = """
import sys
from tvseg.cli import main
from tvseg.sweep import cells
cells.commands_of = lambda plan, cell, folder: [
    [sys.executable, "cell.py", str(folder.path / cell.name)]
]
main()
"""
# At first it waits for SIGTERM, as a training that saves its step; at the next call it finishes.
CELL = """
import os, pathlib, signal, sys, time
mark = pathlib.Path(sys.argv[1] + ".pid")
def save(*_):
    mark.with_suffix(".saved").touch()
    sys.exit(4)
if not mark.exists():
    signal.signal(signal.SIGTERM, save)
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    mark.with_suffix(".new").write_text(str(os.getpid()))
    mark.with_suffix(".new").rename(mark)
    time.sleep(120)
"""
DEAF = CELL.replace("SIGTERM, save", "SIGTERM, signal.SIG_IGN")


def wait(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _heed_signals() -> None:
    """Undo what ``nohup`` and shells do to commands in the background."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(folder: Path, cell: str) -> "subprocess.Popen[str]":
    """Start a sweep of two cells in a process group of its own, as a shell does."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "sweep.yaml").write_text(SWEEP)
    (folder / "cell.py").write_text(cell)
    words = ["sweep", "sweep.yaml", "--data", "data", "--out", "out"]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *words], cwd=folder, text=True, process_group=0,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_heed_signals,
    )  # fmt: skip


def states(folder: Path) -> list[str]:
    cells = json.loads((folder / "out" / "sweep.json").read_text())["cells"]
    return [cell["state"] for cell in cells]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_is_continued_by_the_same_command(
    number: signal.Signals, tmp_path: Path
) -> None:
    driver, mark = start(tmp_path, CELL), tmp_path / "out" / "one-holdout-none-seed0.pid"
    wait(mark.exists)
    os.killpg(driver.pid, number)
    said, error = driver.communicate(timeout=60)
    assert not runs(int(mark.read_text()))
    assert mark.with_suffix(".saved").exists()
    assert "one-holdout-none-seed0: begun (stopped); 0 of 2 cells finished" in said
    assert error.splitlines() == [
        "stopping after the step (processes: 1); a second signal kills",
        "Error: sweep stopped, 0 of 2 cells finished; the same command continues out",
    ]
    assert driver.returncode == STOPPED
    assert states(tmp_path) == ["begun", "new"]
    (tmp_path / "out" / "two-holdout-none-seed0.pid").touch()
    again = start(tmp_path, CELL)
    assert "2 of 2 cells finished" in again.communicate(timeout=60)[0]
    assert again.returncode == 0
    record = json.loads((tmp_path / "out" / "cells" / "one-holdout-none-seed0.json").read_text())
    assert (record["attempts"], record["reason"]) == (2, "")


def test_a_second_interrupt_kills_the_cells(tmp_path: Path) -> None:
    driver, mark = start(tmp_path, DEAF), tmp_path / "out" / "one-holdout-none-seed0.pid"
    wait(mark.exists)
    for _ in range(2):  # within SAME_S
        os.killpg(driver.pid, signal.SIGINT)
        time.sleep(0.1)
    time.sleep(processes.SAME_S + 0.5)
    assert runs(int(mark.read_text()))
    os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=60)
    assert driver.returncode == STOPPED
    assert not runs(int(mark.read_text()))
    assert states(tmp_path) == ["begun", "new"]


def test_processes_that_do_not_stop_in_time_are_killed_with_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.3)
    (tmp_path / "cell.py").write_text(DEAF)
    code = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.run([sys.executable, *sys.argv[1:]])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cell.py"), str(tmp_path / "inner")]
    together, codes = Processes(), []

    def run() -> None:
        with (tmp_path / "log").open("ab") as output:
            codes.append(together.run(command, output=output, environment=os.environ))

    thread = threading.Thread(target=run)
    with together.stopped_by_signals():
        thread.start()
        wait((tmp_path / "inner.pid").exists)
        together.stop()
        thread.join(60)
    assert codes == [-signal.SIGKILL]
    wait(lambda: not runs(int((tmp_path / "inner.pid").read_text())), 10)
    with (tmp_path / "log").open("ab") as output:
        assert together.run(["never"], output=output, environment={}) == STOPPED


def test_handlers_are_given_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt = signal.signal(signal.SIGINT, inside := signal.default_int_handler)
    try:
        with Processes().stopped_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) is not inside
        assert signal.getsignal(signal.SIGINT) is inside
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGINT, interrupt)
