"""Two processes train what one does: the same losses, one run folder, an orderly stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from tests.training import two_processes
from tests.training.two_processes import STOPPED, WAYS, fit
from tvseg.errors import UserError
from tvseg.runs.checkpoint import load_training
from tvseg.runs.folder import RunFolder
from tvseg.training import distributed
from tvseg.training.distributed import OwnShare, check_alone, gathered, joined, parallel
from tvseg.training.train import train


def _torchrun(*words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        *words,
    ]


@pytest.fixture(scope="module")
def together(
    phantoms: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The runs that two processes made, and what they said."""
    runs = tmp_path_factory.mktemp("together")
    command = _torchrun("-m", two_processes.__name__, str(phantoms), str(runs))
    return runs, subprocess.run(command, capture_output=True, text=True, check=False)


def _run(runs: Path, name: str) -> RunFolder:
    return RunFolder(runs / f"{name}-holdout-A-seed0")


@pytest.mark.parametrize("way", WAYS)
def test_losses_are_those_of_one_process(
    way: str,
    together: tuple[Path, subprocess.CompletedProcess[str]],
    phantoms: Path,
    tmp_path: Path,
) -> None:
    runs, done = together
    assert done.returncode == 0, done.stderr
    fit(phantoms, tmp_path, *WAYS[way])
    alone, both = _run(tmp_path, way), _run(runs, way)
    for row, again in zip(alone.read_metrics(), both.read_metrics(), strict=True):
        for key in ("loss", "dice", "dice_cup", "dice_disc"):
            assert float(again[key]) == pytest.approx(float(row[key]), abs=1e-5)
    assert {path.name for path in both.path.iterdir()} == {p.name for p in alone.path.iterdir()}
    assert len([*both.tensorboard.iterdir()]) == len([*alone.tensorboard.iterdir()])
    assert both.info()["processes"] == 2
    with pytest.raises(UserError, match="processes changed from 2 to 1"):
        _resume(both, phantoms)


def _resume(run: RunFolder, root: Path) -> None:
    run.write_info(finished=None)
    train(run.settings(), holdout="A", root=root, runs=run.path.parent, resume=True)


def test_a_stop_of_one_process_is_one_of_all_and_a_resumed_run_is_the_same(
    together: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    runs, done = together
    assert "process 0: stopped by SIGTERM after step 1 of 2" in done.stdout
    whole, stopped = (load_training(_run(runs, name).last) for name in ("whole", "stopped"))
    assert stopped["network"].keys() == whole["network"].keys()
    assert all(torch.equal(v, stopped["network"][k]) for k, v in whole["network"].items())
    assert len(_run(runs, "stopped").info()["resumed"]) == 1
    assert STOPPED == ["name=stopped"]


def test_what_all_processes_refuse_is_said_once(
    together: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    runs, done = together
    said = [line for line in done.stdout.splitlines() if "must divide" in line]
    assert len(said) == 1
    assert "2 processes x train.micro_batches=1 must divide the 3 images of each" in said[0]
    assert not _run(runs, "odd").path.exists()


def test_one_process_has_all_of_each_batch() -> None:
    batches = [[3, 1], [2]]
    assert list(OwnShare(batches)) == batches  # type: ignore[arg-type]
    assert gathered((3, 1)) == [3, 1]
    with joined("cpu") as device:
        assert device == torch.device("cpu")


def test_batch_norms_of_several_gpus_keep_their_activations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), BatchNormAct2d(4), nn.BatchNorm2d(4)).eval()
    parameters, x = list(network.parameters()), torch.randn(2, 3, 8, 8)
    wanted = network(x)
    with monkeypatch.context() as patch:
        patch.setattr(distributed, "processes", lambda: 2)
        patch.setattr(distributed, "DistributedDataParallel", lambda network: network)
        patch.setattr(nn.Parameter, "device", torch.device("cuda"), raising=False)
        parallel(network)
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in network[1:])
    assert all(a is b for a, b in zip(network.parameters(), parameters, strict=True))
    assert torch.equal(network(x), wanted)


def test_commands_for_one_process_refuse_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    check_alone("tvseg train-localizer")
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="'tvseg train-localizer' runs in one process"):
        check_alone("tvseg train-localizer")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit, match="1"):
        check_alone("tvseg train-localizer")


def test_devices_that_processes_cannot_share_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="must be cuda or cpu under torchrun"), joined("cpu:0"):
        pass


def _worker(number: int, runs: Path) -> int:
    """Return the process of a rank that trains into a folder."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
            words = path.with_name("cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if f"RANK={number}".encode() in variables and str(runs).encode() in words:
            return int(path.parent.name)
    raise AssertionError(f"no process {number}")


def _wait_for_checkpoint(runs: Path, after: float = 0.0) -> None:
    end = time.monotonic() + 600
    while not any(path.stat().st_mtime > after for path in runs.glob("*/checkpoints/last.pt")):
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("way", [[], ["train.micro_batches=2", "train.workers=2"]])
def test_two_processes_survive_a_kill_and_a_stop_bit_for_bit(
    way: list[str], phantoms: Path, tmp_path: Path
) -> None:
    def command(runs: Path) -> list[str]:
        words = ["--holdout", "A", "--data", str(phantoms), "--out", str(runs), "--device", "cpu"]
        long = [*two_processes.TINY, "train.epochs=6", *way]
        return _torchrun("-m", "tvseg", "train", *words, "--resume", *long)

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command(parted), stderr=subprocess.PIPE, text=True)

    whole, parted = tmp_path / "whole", tmp_path / "parted"
    subprocess.run(command(whole), check=True, capture_output=True)
    process = start()
    _wait_for_checkpoint(parted)
    os.kill(_worker(1, parted), signal.SIGKILL)
    _, said = process.communicate()
    assert "Error: process 0 has lost another one of this training" in said
    assert said.count("Traceback") == 1  # torchrun's own, at its end
    began = time.time()
    process = start()
    _wait_for_checkpoint(parted, began)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate()
    assert said.count("Error: stopped by SIGTERM after step") == 1
    done = subprocess.run(command(parted), capture_output=True, text=True, check=True)
    assert done.stdout.count("Trained ") == 1
    first, second = (
        load_training(_run(runs, "tvconv").last)["network"] for runs in (whole, parted)
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())
