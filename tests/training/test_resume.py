"""Trainings that were stopped continue bit for bit, from the newest checkpoint that is whole."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from tvseg.config import load_settings
from tvseg.errors import UserError
from tvseg.runs.checkpoint import load_training
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import SegmentationSettings
from tvseg.training.loop import TrainingLoop, TrainingStopped
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


def _settings(*overrides: str) -> SegmentationSettings:
    return load_settings(None, [*TINY, *overrides])


def _train(settings: SegmentationSettings, root: Path, runs: Path, **how: bool) -> RunFolder:
    return train(settings, holdout="A", root=root, runs=runs, **how)


def _same(one: RunFolder, other: RunFolder, *, same_card: bool = True) -> None:
    first, second = load_training(one.last), load_training(other.last)
    assert first["network"].keys() == second["network"].keys()
    assert all(torch.equal(v, second["network"][k]) for k, v in first["network"].items())
    best = [load_network(run.best)[0].state_dict() for run in (one, other)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())
    assert not same_card or one.best.read_bytes() == other.best.read_bytes()
    for row, again in zip(one.read_metrics(), other.read_metrics(), strict=True):
        assert {**row, "seconds": ""} == {**again, "seconds": ""}


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> list[str]:
    return WAYS[request.param]


@pytest.fixture(scope="module")
def whole(way: list[str], phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return _train(_settings(*way), phantoms, tmp_path_factory.mktemp("whole"))


def _at_step(step: int, what: object, patch: pytest.MonkeyPatch) -> None:
    show = TrainingLoop._show

    def act(self: TrainingLoop, engine: Engine, *rest: object) -> None:
        show(self, engine, *rest)  # type: ignore[arg-type]
        if engine.state.iteration == step:
            what()  # type: ignore[operator]

    patch.setattr(TrainingLoop, "_show", act)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_sigterm_finishes_the_step_and_a_resumed_run_is_the_same(
    step: int, way: list[str], whole: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        _at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM), patch)
        with pytest.raises(TrainingStopped, match=f"after step {step} of 6; .*--resume") as caught:
            _train(_settings(*way), phantoms, tmp_path)
    assert caught.value.exit_code == 4
    assert signal.getsignal(signal.SIGTERM) == before
    run = RunFolder(tmp_path / whole.path.name)
    assert load_training(run.last)["progress"]["step"] == step
    _same(whole, _train(_settings(*way), phantoms, tmp_path, resume=True))
    assert not run.previous.exists()


def test_a_crash_within_an_epoch_repeats_it(
    way: list[str], whole: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    def crash() -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        _at_step(5, crash, patch)
        with pytest.raises(KeyboardInterrupt):
            _train(_settings(*way), phantoms, tmp_path)
    _same(whole, _train(_settings(*way), phantoms, tmp_path, resume=True))


@pytest.fixture(scope="module")
def stopped(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Stopped after step 4 of 6; two checkpoints are kept."""
    runs = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        _at_step(4, lambda: os.kill(os.getpid(), signal.SIGTERM), patch)
        with pytest.raises(TrainingStopped):
            _train(_settings("aspp=dense"), phantoms, runs)
    return RunFolder(runs / "dense-holdout-A-seed0")


@pytest.fixture(scope="module")
def dense(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return _train(_settings("aspp=dense"), phantoms, tmp_path_factory.mktemp("dense"))


@pytest.fixture
def copied(stopped: RunFolder, tmp_path: Path) -> RunFolder:
    runs = tmp_path / "runs"
    return RunFolder(shutil.copytree(stopped.path, runs / stopped.path.name))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(
    damage: str,
    copied: RunFolder,
    dense: RunFolder,
    phantoms: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = bytearray(copied.last.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        copied.last.unlink()
    else:
        kept = {"cut": content[:-100], "empty": b"", "flipped": content}[damage]
        copied.last.write_bytes(kept)
    resumed = _train(_settings("aspp=dense"), phantoms, copied.path.parent, resume=True)
    if damage != "gone":
        assert "last.pt is damaged" in caplog.text
        assert "continuing from" in caplog.text
    _same(dense, resumed)


def test_two_damaged_checkpoints_are_an_error(copied: RunFolder, phantoms: Path) -> None:
    copied.last.write_bytes(b"x")
    copied.previous.write_bytes(b"")
    with pytest.raises(UserError, match=r"previous.pt is damaged.*--overwrite"):
        _train(_settings("aspp=dense"), phantoms, copied.path.parent, resume=True)
    _train(_settings("aspp=dense"), phantoms, copied.path.parent, overwrite=True)


@pytest.mark.parametrize("part", ["optimizer", "random", "progress", "network", "card"])
@pytest.mark.parametrize("spoilt", ["missing", "text", "list", "other"])
def test_a_missing_or_spoilt_part_is_named(
    part: str, spoilt: str, copied: RunFolder, phantoms: Path
) -> None:
    content = load_training(copied.last)
    if spoilt == "missing":
        del content[part]
    else:
        other = {0: {"exp_avg": torch.zeros(3)}} if part == "optimizer" else {"x": [1]}
        state = {"state": other} if part == "optimizer" else other
        content[part] = {"text": "x", "list": [1, None], "other": state}[spoilt]
    torch.save(content, copied.last)
    copied.previous.unlink()
    with pytest.raises(UserError, match=part if part != "network" else "network|weights") as caught:
        _train(_settings("aspp=dense"), phantoms, copied.path.parent, resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", b"epoch,seconds\nx,1\n", b"epoch\n1\n", b"\xff\xfe"]
)
def test_damaged_metrics_are_named_before_anything_is_computed(
    content: bytes, copied: RunFolder, phantoms: Path
) -> None:
    copied.metrics.write_bytes(content)
    before = copied.last.read_bytes()
    with pytest.raises(UserError, match=r"metrics\.csv"):
        _train(_settings("aspp=dense"), phantoms, copied.path.parent, resume=True)
    assert copied.last.read_bytes() == before


def test_nothing_read_from_a_checkpoint_is_called(
    copied: RunFolder, dense: RunFolder, phantoms: Path
) -> None:
    content = load_training(copied.last)
    content["schedule"] = {"lr_lambdas": ["os.system"], "last_epoch": 0}
    content["optimizer"]["param_groups"] = [{"lr": "x", "params": [0]}]
    torch.save(content, copied.last)
    _same(dense, _train(_settings("aspp=dense"), phantoms, copied.path.parent, resume=True))


def test_settings_that_change_no_results_may_change(
    copied: RunFolder, dense: RunFolder, phantoms: Path
) -> None:
    settings = _settings("aspp=dense", "train.workers=1", "data=elsewhere", "precision=fp32")
    resumed = _train(settings, phantoms, copied.path.parent, resume=True)
    _same(dense, resumed, same_card=False)  # the card holds these settings


@pytest.mark.parametrize("gone", ["last", "both"])
def test_a_finished_run_is_never_trained_anew_unasked(
    gone: str, dense: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(dense.path, tmp_path / dense.path.name))
    run.last.unlink()
    if gone == "both":
        run.best.unlink()
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    settings = _settings("aspp=dense")
    with pytest.raises(UserError, match="exists; continue it with --resume, replace it with --ov"):
        _train(settings, phantoms, tmp_path)
    assert _train(settings, phantoms, tmp_path, resume=True).is_finished()
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    (run.path / "localizer.safetensors").write_bytes(b"stale")
    again = _train(settings, phantoms, tmp_path, overwrite=True)
    assert not again.localizer.exists()
    _same(dense, again)


def test_leftovers_of_a_killed_training_are_removed(copied: RunFolder, phantoms: Path) -> None:
    leftover = copied.last.with_name(f".tvseg-{'0' * 32}")
    leftover.write_bytes(b"x")
    _train(_settings("aspp=dense"), phantoms, copied.path.parent, resume=True)
    assert not leftover.exists()


def test_the_log_has_a_line_an_epoch(dense: RunFolder) -> None:
    lines = (dense.path / "train.log").read_text().splitlines()
    assert len(lines) == 2
    assert all(words in lines[1] for words in ("epoch 2/2: loss ", "Dice ", "images/s", "min left"))


def _command(root: Path, runs: Path, way: list[str]) -> list[str]:
    words = ["train", "--holdout", "A", "--data", str(root), "--out", str(runs), "--resume"]
    return [sys.executable, "-m", "tvseg", *words, "--device", "cpu", *TINY, *way]


def _kill_and_resume(way: list[str], root: Path, runs: Path, seed: int) -> RunFolder:
    """Kill training at a random moment after its first checkpoint, then run it to its end."""
    process = subprocess.Popen(_command(root, runs, way), stderr=subprocess.PIPE)
    end = time.monotonic() + 300
    while not list(runs.glob("*/checkpoints/last.pt")) and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    process.kill()
    process.communicate()
    done = subprocess.run(_command(root, runs, way), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return RunFolder(next(runs.iterdir()))


def test_a_killed_process_leaves_a_run_that_resumes(
    dense: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    _same(dense, _kill_and_resume(["aspp=dense"], phantoms, tmp_path / "runs", 0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_processes_killed_at_random_resume_bit_for_bit(
    seed: int, way: list[str], whole: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    _same(whole, _kill_and_resume(way, phantoms, tmp_path / "runs", seed))
