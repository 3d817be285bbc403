"""Trainings of full width that are killed without warning continue bit for bit."""

import itertools
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.resumed import check_same, command_of, settings_of, train_run
from tvseg.runs.folder import RunFolder

KILLED = """
import os, signal, sys
from tvseg.cli import main
from tvseg.training.loop import TrainingLoop

step, show = int(sys.argv.pop(1)), TrainingLoop._show

def act(self, engine, *rest):
    show(self, engine, *rest)
    if engine.state.iteration == step:
        os.kill(os.getpid(), signal.SIGKILL)

TrainingLoop._show = act
main()
"""
"""The command line, which kills itself after a step."""

COMBINATIONS = [
    *itertools.product(("dense", "tvconv"), ("fp32",), (0, 2), (1, 2)),
    *itertools.product(("dense", "tvconv"), ("bf16",), (0,), (1,)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("aspp", "precision", "workers", "parts"), COMBINATIONS)
def test_a_process_killed_at_three_random_steps_resumes_bit_for_bit(
    aspp: str, precision: str, workers: int, parts: int, phantoms: Path, tmp_path: Path
) -> None:
    way = [f"aspp={aspp}", f"precision={precision}", f"train.workers={workers}",
           f"train.micro_batches={parts}"]  # fmt: skip
    whole = train_run(settings_of(*way), phantoms, tmp_path / "whole")
    command = command_of(phantoms, tmp_path / "killed", way)
    steps = sorted(random.Random("-".join(way)).sample(range(1, 7), 3))
    for step in steps:
        killing = [sys.executable, "-c", KILLED, str(step), *command[3:]]
        assert subprocess.run(killing, check=False).returncode == -signal.SIGKILL
    subprocess.run(command, check=True)
    check_same(whole, RunFolder(tmp_path / "killed" / whole.path.name))
