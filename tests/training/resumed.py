"""Trainings that stop and continue: their settings, and what must be the same in the end."""

import random
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.conftest import give_memory_back
from tvseg.config import load_settings
from tvseg.runs.checkpoint import load_training
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import SegmentationSettings
from tvseg.training.train import train

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=2",
        "train.steps_per_epoch=3", "train.images_per_centre=2", "augment=strong"]  # fmt: skip
WAYS = {
    "dense": ["aspp=dense"],
    "tvconv": ["aspp=tvconv"],
    "workers": ["aspp=tvconv", "train.workers=2"],
    "micro-batches": ["aspp=tvconv", "train.micro_batches=2"],
    "bf16": ["aspp=tvconv", "precision=bf16"],
}


def settings_of(*overrides: str) -> SegmentationSettings:
    return load_settings(None, [*TINY, *overrides])


def train_run(settings: SegmentationSettings, root: Path, runs: Path, **how: bool) -> RunFolder:
    try:
        return train(settings, holdout="A", root=root, runs=runs, **how)
    finally:
        give_memory_back()


def check_same(one: RunFolder, other: RunFolder, *, same_card: bool = True) -> None:
    first, second = load_training(one.last), load_training(other.last)
    assert first["network"].keys() == second["network"].keys()
    assert all(torch.equal(v, second["network"][k]) for k, v in first["network"].items())
    best = [load_network(run.best)[0].state_dict() for run in (one, other)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())
    assert not same_card or one.best.read_bytes() == other.best.read_bytes()
    for row, again in zip(one.read_metrics(), other.read_metrics(), strict=True):
        assert {**row, "seconds": ""} == {**again, "seconds": ""}


def command_of(root: Path, runs: Path, way: list[str]) -> list[str]:
    words = ["train", "--holdout", "A", "--data", str(root), "--out", str(runs), "--resume"]
    return [sys.executable, "-m", "tvseg", *words, "--device", "cpu", *TINY, *way]


def kill(way: list[str], root: Path, runs: Path, *, seed: int) -> None:
    """Start a training and kill it at a random moment after its first checkpoint."""
    process = subprocess.Popen(command_of(root, runs, way), stderr=subprocess.PIPE)
    end = time.monotonic() + 300
    while not list(runs.glob("*/checkpoints/last.pt")) and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    process.kill()
    process.communicate()


def kill_and_resume(way: list[str], root: Path, runs: Path, seed: int) -> RunFolder:
    """Kill a training, then run it to its end in a process of its own."""
    kill(way, root, runs, seed=seed)
    done = subprocess.run(command_of(root, runs, way), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return RunFolder(next(runs.iterdir()))
