"""Sweeps of real trainings: the same table on every engine, whatever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tvseg.runs.checkpoint import load_training

SWEEP = """
settings:
  image_size: 64
  encoder_weights: none
  precision: fp32
  augment: strong
  train.epochs: 2
  train.steps_per_epoch: 2
  train.images_per_centre: 2
variants:
  dense: {aspp: dense}
  tvconv: {aspp: tvconv}
holdouts: [A, B]
seeds: [0]
"""
CELLS = 4

# The command line, which writes the CPU seconds of its own process into a file at its end.
DRIVER = """
import pathlib, resource, sys
from tvseg.cli import main
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    pathlib.Path("driver-seconds").write_text(str(used.ru_utime + used.ru_stime))
"""


def _command(folder: Path, data: Path, out: str, *words: str) -> list[str]:
    (folder / "sweep.yaml").write_text(SWEEP)
    return [sys.executable, "-c", DRIVER, "-q", "sweep", str(folder / "sweep.yaml"),
            "--data", str(data), "--out", str(folder / out), *words]  # fmt: skip


def _sweep(folder: Path, data: Path, out: str, *words: str) -> str:
    done = subprocess.run(
        _command(folder, data, out, *words), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _content(sweep: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((sweep / "sweep.json").read_text())
    return content


def _same(one: Path, other: Path) -> None:
    """Check that two sweeps are complete, and equal bit for bit."""
    first, second = _content(one), _content(other)
    assert [cell["state"] for cell in first["cells"]] == ["finished"] * CELLS
    assert [cell["state"] for cell in second["cells"]] == ["finished"] * CELLS
    assert first["rows"] == second["rows"]
    for run in sorted((one / "runs").iterdir()):
        again = other / "runs" / run.name
        a, b = (load_training(path / "checkpoints" / "last.pt")["network"] for path in (run, again))
        assert all(torch.equal(value, b[name]) for name, value in a.items())
        scores = Path("eval", "honest", "cases.csv")
        assert (run / scores).read_bytes() == (again / scores).read_bytes()


@pytest.fixture(scope="module")
def local(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    said = _sweep(folder, phantoms, "sweep")
    assert "4 of 4 cells finished; table" in said
    logs = [path.read_text() for path in (folder / "sweep" / "logs").iterdir()]
    assert len(logs) == CELLS
    assert all("epoch 2/2: loss" in log for log in logs)
    return folder / "sweep"


def _wait(ready: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.01)


def _trainings(sweep: Path) -> Iterator[int]:
    """Yield the processes that train a cell of a sweep."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if b"train" in words and str(sweep / "runs").encode() in words:
            yield int(path.parent.name)


def _finished(sweep: Path) -> int:
    if not (sweep / "sweep.json").is_file():
        return 0
    return sum(cell["state"] == "finished" for cell in _content(sweep)["cells"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["--jobs", "2"], ["--jobs", "2", "--engine", "ray"],
     ["--engine", "slurm", "--slurm", "cluster=local", "--slurm", "timeout_min=30"]],
    ids=["local", "ray", "slurm"],
)  # fmt: skip
def test_every_engine_gives_the_same_table(
    words: list[str], local: Path, phantoms: Path, tmp_path: Path
) -> None:
    _sweep(tmp_path, phantoms, "sweep", *words)
    _same(local, tmp_path / "sweep")
    own = float((tmp_path / "driver-seconds").read_text())
    print(f"{own / CELLS:.2f} CPU seconds of the driver for each cell")
    assert own / CELLS < 2


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_sweep_survives_its_cells_and_its_driver(
    engine: str, local: Path, phantoms: Path, tmp_path: Path
) -> None:
    sweep, words = tmp_path / "sweep", ["--jobs", "2", "--engine", engine]
    command = _command(tmp_path, phantoms, "sweep", *words)
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    _wait(lambda: any(sweep.glob("runs/*/checkpoints/last.pt")))
    killed = next(_trainings(sweep))
    os.kill(killed, signal.SIGKILL)
    _wait(lambda: _finished(sweep) >= 1)
    _wait(lambda: any(_trainings(sweep)))
    driver.kill()
    driver.communicate()
    _wait(lambda: not any(_trainings(sweep)), 30)  # cells end with their driver
    assert 1 <= _finished(sweep) < CELLS
    _sweep(tmp_path, phantoms, "sweep", *words)
    _same(local, sweep)
    attempts = [cell["attempts"] for cell in _content(sweep)["cells"]]
    assert sum(attempts) >= CELLS + 2  # of the cell that was killed, and of one with the driver


@pytest.mark.slow
def test_an_interrupted_sweep_continues_from_the_step(
    local: Path, phantoms: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    command = _command(tmp_path, phantoms, "sweep", "--jobs", "2")
    driver = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                              process_group=0)  # fmt: skip
    _wait(lambda: any(sweep.glob("runs/*/metrics.csv")))
    os.killpg(driver.pid, signal.SIGINT)
    error = driver.communicate()[1]
    assert driver.returncode == 4
    assert f"the same command continues {sweep}" in error
    assert not any(_trainings(sweep))
    states = {cell["state"] for cell in _content(sweep)["cells"]}
    assert "begun" in states
    assert states <= {"begun", "new", "finished"}
    _sweep(tmp_path, phantoms, "sweep", "--jobs", "2")
    _same(local, sweep)
