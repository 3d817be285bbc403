"""Trainings that were stopped continue bit for bit, from the newest checkpoint that is whole."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from tests.training.resumed import WAYS, check_same, kill, settings_of, train_run
from tvseg.errors import UserError
from tvseg.runs.checkpoint import load_training
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import SEGMENTATION, network_of
from tvseg.settings import SegmentationSettings
from tvseg.training.fit import TrainingDiverged, make_optimizer
from tvseg.training.loop import TrainingLoop
from tvseg.training.state import read_last, restore
from tvseg.training.stop import TrainingStopped

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


@pytest.fixture(scope="module")
def dense(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train_run(settings_of("aspp=dense"), phantoms, tmp_path_factory.mktemp("dense"))


def _at_step(step: int, what: object, patch: pytest.MonkeyPatch) -> None:
    show = TrainingLoop._show

    def act(self: TrainingLoop, engine: Engine, *rest: object) -> None:
        show(self, engine, *rest)  # type: ignore[arg-type]
        if engine.state.iteration == step:
            what()  # type: ignore[operator]

    patch.setattr(TrainingLoop, "_show", act)


def _check_stop_and_resume(
    step: int, whole: RunFolder, settings: SegmentationSettings, root: Path, runs: Path
) -> None:
    """Stop a training by SIGTERM after a step, and compare what it becomes with the whole one."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        _at_step(step, lambda: os.kill(os.getpid(), signal.SIGTERM), patch)
        with pytest.raises(TrainingStopped, match=f"after step {step} of 6; .*--resume") as caught:
            train_run(settings, root, runs)
    assert caught.value.exit_code == 4
    assert signal.getsignal(signal.SIGTERM) == before
    run = RunFolder(runs / whole.path.name)
    assert load_training(run.last)["progress"]["step"] == step
    check_same(whole, train_run(settings, root, runs, resume=True))
    assert not run.previous.exists()


@pytest.mark.parametrize("step", [2, 3, 4])  # in the first epoch, at its end, in the second
def test_sigterm_finishes_the_step_and_a_resumed_run_is_the_same(
    step: int, dense: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    _check_stop_and_resume(step, dense, settings_of("aspp=dense"), phantoms, tmp_path)


@pytest.mark.parametrize(
    "way",
    [
        "workers",  # with TVConv
        *(pytest.param(way, marks=pytest.mark.slow) for way in ("tvconv", "micro-batches", "bf16")),
    ],
)
def test_every_way_of_training_resumes_the_same(way: str, phantoms: Path, tmp_path: Path) -> None:
    settings = settings_of(*WAYS[way])
    whole = train_run(settings, phantoms, tmp_path / "whole")
    _check_stop_and_resume(4, whole, settings, phantoms, tmp_path / "stopped")


def test_a_crash_within_an_epoch_repeats_it(
    dense: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    def crash() -> None:
        raise KeyboardInterrupt

    settings = settings_of("aspp=dense")
    with pytest.MonkeyPatch.context() as patch:
        _at_step(5, crash, patch)
        with pytest.raises(KeyboardInterrupt):
            train_run(settings, phantoms, tmp_path)
    resumed = train_run(settings, phantoms, tmp_path, resume=True)
    check_same(dense, resumed)
    info = resumed.info()
    assert info["best_epoch"] == dense.info()["best_epoch"]
    assert len(info["resumed"]) == 1
    assert info["started"] <= info["resumed"][0]["started"]


def test_a_stop_does_not_save_ruined_weights(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = TrainingLoop._show

    def ruin(loop: TrainingLoop, engine: Engine, *rest: object) -> None:
        show(loop, engine, *rest)  # type: ignore[arg-type]
        if engine.state.iteration == 5:
            next(loop.network.parameters()).data[0] = float("nan")
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(TrainingLoop, "_show", ruin)
    settings = settings_of("aspp=dense")
    with pytest.raises(TrainingDiverged, match="weights must stay finite, 1 tensor is not after"):
        train_run(settings, phantoms, tmp_path)
    run = RunFolder.of(tmp_path, settings, "A")
    assert load_training(run.last)["progress"]["step"] == 3


@pytest.fixture(scope="module")
def stopped(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Stopped after step 4 of 6; two checkpoints are kept."""
    runs = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        _at_step(4, lambda: os.kill(os.getpid(), signal.SIGTERM), patch)
        with pytest.raises(TrainingStopped):
            train_run(settings_of("aspp=dense"), phantoms, runs)
    return RunFolder(runs / "dense-holdout-A-seed0")


@pytest.fixture
def copied(stopped: RunFolder, tmp_path: Path) -> RunFolder:
    runs = tmp_path / "runs"
    return RunFolder(shutil.copytree(stopped.path, runs / stopped.path.name))


@pytest.mark.parametrize("damage", ["flipped", "gone"])
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
        copied.last.write_bytes(content)
    resumed = train_run(settings_of("aspp=dense"), phantoms, copied.path.parent, resume=True)
    if damage != "gone":
        assert "last.pt is damaged" in caplog.text
        assert "continuing from" in caplog.text
    check_same(dense, resumed)


@pytest.mark.parametrize("content", ["cut", "empty"])
def test_a_checkpoint_that_was_cut_is_passed_over(content: str, copied: RunFolder) -> None:
    whole = copied.last.read_bytes()
    copied.last.write_bytes(whole[:-100] if content == "cut" else b"")
    kept = read_last(copied, SEGMENTATION)
    assert kept is not None
    assert kept.path == copied.previous


def test_two_damaged_checkpoints_are_an_error(copied: RunFolder, phantoms: Path) -> None:
    copied.last.write_bytes(b"x")
    copied.previous.write_bytes(b"")
    with pytest.raises(UserError, match=r"previous.pt is damaged.*--overwrite"):
        train_run(settings_of("aspp=dense"), phantoms, copied.path.parent, resume=True)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return network_of(settings_of("aspp=dense"), pretrained=False)


@pytest.mark.parametrize("part", ["optimizer", "random", "progress", "network", "card"])
@pytest.mark.parametrize("spoilt", ["missing", "text", "list", "other"])
def test_a_missing_or_spoilt_part_is_named(
    part: str, spoilt: str, stopped: RunFolder, network: nn.Module, tmp_path: Path
) -> None:
    content = load_training(stopped.last)
    if spoilt == "missing":
        del content[part]
    else:
        other = {0: {"exp_avg": torch.zeros(3)}} if part == "optimizer" else {"x": [1]}
        state = {"state": other} if part == "optimizer" else other
        content[part] = {"text": "x", "list": [1, None], "other": state}[spoilt]
    run = RunFolder(tmp_path)
    run.last.parent.mkdir()
    torch.save(content, run.last)
    with pytest.raises(UserError, match=part if part != "network" else "network|weights") as caught:
        restore(
            read_last(run, SEGMENTATION), network, make_optimizer(network, 1e-3), steps_per_epoch=3
        )
    assert "\n" not in str(caught.value)


def test_damaged_metrics_are_named_before_anything_is_computed(
    copied: RunFolder, phantoms: Path
) -> None:
    copied.metrics.write_bytes(b"a,b\n1,2\n")
    before = copied.last.read_bytes()
    with pytest.raises(UserError, match=r"metrics\.csv"):
        train_run(settings_of("aspp=dense"), phantoms, copied.path.parent, resume=True)
    assert copied.last.read_bytes() == before
    for content in (b"epoch,seconds\nx,1\n", b"epoch\n1\n", b"\xff\xfe"):
        copied.metrics.write_bytes(content)
        with pytest.raises(UserError, match=r"metrics\.csv"):
            copied.continue_with({})


def test_nothing_read_from_a_checkpoint_is_called(
    copied: RunFolder, dense: RunFolder, phantoms: Path
) -> None:
    content = load_training(copied.last)
    content["schedule"] = {"lr_lambdas": ["os.system"], "last_epoch": 0}
    content["optimizer"]["param_groups"] = [{"lr": "x", "params": [0]}]
    torch.save(content, copied.last)
    check_same(
        dense, train_run(settings_of("aspp=dense"), phantoms, copied.path.parent, resume=True)
    )


def test_settings_that_change_no_results_may_change(
    copied: RunFolder, dense: RunFolder, phantoms: Path
) -> None:
    settings = settings_of("aspp=dense", "train.workers=1", "data=elsewhere", "precision=fp32")
    resumed = train_run(settings, phantoms, copied.path.parent, resume=True)
    check_same(dense, resumed, same_card=False)  # the card holds these settings


@pytest.mark.parametrize("gone", ["last", "both"])
def test_a_finished_run_is_never_trained_anew_unasked(
    gone: str, dense: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(dense.path, tmp_path / dense.path.name))
    run.last.unlink()
    if gone == "both":
        run.best.unlink()
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    settings = settings_of("aspp=dense")
    with pytest.raises(UserError, match="exists; continue it with --resume, replace it with --ov"):
        train_run(settings, phantoms, tmp_path)
    assert train_run(settings, phantoms, tmp_path, resume=True).is_finished()
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    (run.path / "localizer.safetensors").write_bytes(b"stale")
    run.last.write_bytes(b"damaged")
    again = train_run(settings, phantoms, tmp_path, overwrite=True)
    assert not again.localizer.exists()
    check_same(dense, again)


def test_leftovers_of_a_killed_training_are_removed(copied: RunFolder, phantoms: Path) -> None:
    leftover = copied.last.with_name(f".tvseg-{'0' * 32}")
    leftover.write_bytes(b"x")
    train_run(settings_of("aspp=dense"), phantoms, copied.path.parent, resume=True)
    assert not leftover.exists()


def test_the_log_has_a_line_an_epoch(dense: RunFolder) -> None:
    lines = (dense.path / "train.log").read_text().splitlines()
    assert len(lines) == 2
    assert all(words in lines[1] for words in ("epoch 2/2: loss ", "Dice ", "images/s", "min left"))


def test_a_killed_process_leaves_a_run_that_resumes(
    dense: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    kill(["aspp=dense"], phantoms, tmp_path / "runs", seed=0)
    check_same(
        dense, train_run(settings_of("aspp=dense"), phantoms, tmp_path / "runs", resume=True)
    )
