"""The command line of sweeps, whose cells run a script instead of a training."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.sweep.test_cells import SCORE, use_script
from tvseg.cli import cli
from tvseg.runs.folder import RunFolder
from tvseg.sweep.cells import SweepFolder


def small_sweep(folder: Path) -> list[str]:
    """Write a sweep of one cell, and return the command that runs it."""
    (folder / "data").mkdir()
    (folder / "data" / "x.png").write_bytes(b"x")
    (folder / "sweep.yaml").write_text("variants: {dense: {aspp: dense}}\nholdouts: [A]\n")
    return ["sweep", str(folder / "sweep.yaml"), "--out", str(folder / "out"), "--data",
            str(folder / "data")]  # fmt: skip


def test_a_folder_has_one_sweep_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_script(monkeypatch, dense=SCORE)
    command, out = small_sweep(tmp_path), tmp_path / "out"
    with SweepFolder(out).held():
        refused = CliRunner().invoke(cli, command)
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: {out} must have one sweep at a time, another one runs: wait for its end, or name "
        "another folder with --out\n"
    )
    assert not (out / "cells").exists()
    assert CliRunner().invoke(cli, command).exit_code == 0  # though the folder has a lock


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--gpus 1", "--gpus must come with --engine ray or slurm, got --engine local: leave it "
         "out; CUDA_VISIBLE_DEVICES chooses the GPU there"),
        ("--address x:1", "--address must come with --engine ray, got --engine local: leave it"),
        ("--slurm a=1", "--slurm must come with --engine slurm, got --engine local: leave it"),
        ("--engine slurm --address x:1", "--address must come with --engine ray, got --engine slu"),
        ("--engine ray --slurm a=1", "--slurm must come with --engine slurm, got --engine ray"),
    ],
)  # fmt: skip
def test_options_that_an_engine_does_not_read_are_refused(
    words: str, message: str, tmp_path: Path
) -> None:
    refused = CliRunner().invoke(cli, [*small_sweep(tmp_path), *words.split()])
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", ["--gpus 0", "--engine ray --gpus 0.5 --address x:1",
                                   "--engine slurm --gpus 1 --slurm timeout_min=1"])  # fmt: skip
def test_options_that_an_engine_reads_are_taken(words: str, tmp_path: Path) -> None:
    planned = CliRunner().invoke(cli, [*small_sweep(tmp_path), *words.split(), "--dry-run"])
    assert planned.exit_code == 0, planned.output


def test_a_sweep_says_which_runs_another_training_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_script(monkeypatch, dense=SCORE)
    command, run = small_sweep(tmp_path), tmp_path / "out" / "runs" / "dense-holdout-A-seed0"
    assert CliRunner().invoke(cli, command).exit_code == 0
    (tmp_path / "data" / "x.png").write_bytes(b"y")
    with RunFolder(run).lock():
        left = CliRunner().invoke(cli, command)
    assert left.exit_code == 3
    assert f"dense-holdout-A-seed0: begun ({run} must be free, another" in left.output
    assert "0 of 1 cells finished; table" in left.output


def test_a_sweep_on_a_copy_of_its_data_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_script(monkeypatch, dense=SCORE)
    *words, _ = small_sweep(tmp_path)
    first = CliRunner().invoke(cli, [*words, str(tmp_path / "data")])
    assert "1 of 1 cells finished" in first.output
    shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy" / "x.png", (1, 1))
    again = CliRunner().invoke(cli, [*words, str(tmp_path / "copy"), "--dry-run"])
    assert "finished  dense-holdout-A-seed0" in again.output
    (tmp_path / "out" / "data-digests.json").unlink()
    unknown = CliRunner().invoke(cli, [*words, str(tmp_path / "copy"), "--dry-run"])
    assert "finished  dense-holdout-A-seed0" in unknown.output
    (tmp_path / "copy" / "x.png").write_bytes(b"y")
    changed = CliRunner().invoke(cli, [*words, str(tmp_path / "copy"), "--dry-run"])
    assert "new       dense-holdout-A-seed0" in changed.output
