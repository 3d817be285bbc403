import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import every_disc_counts_as_found
from tvseg.cli import cli
from tvseg.localizer import train as localizer
from tvseg.localizer.checkpoint import load_localizer
from tvseg.runs.folder import RunFolder


def test_a_localiser_is_put_into_the_run(
    localised_run: RunFolder, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))
    run.localizer.unlink()
    plans = []

    def tiny(*, steps: int, workers: int) -> localizer.LocalizerPlan:
        plans.append(steps)
        return real(steps=steps, images_per_centre=1, retinas=2, calibration_steps=4, image_size=64)

    real = localizer.LocalizerPlan
    monkeypatch.setattr(localizer, "LocalizerPlan", tiny)
    every_disc_counts_as_found(monkeypatch)
    arguments = ["train-localizer", run.path, "--data", phantoms, "--steps", 2, "--seed", 5]
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "centre held out A" in result.output
    assert plans == [2]
    assert load_localizer(run.localizer)[1].seed == 5


def test_a_run_without_a_checkpoint_is_refused_in_one_line(
    localised_run: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))
    run.best.unlink()
    result = CliRunner().invoke(cli, ["train-localizer", str(run.path), "--data", str(phantoms)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "best.safetensors" in result.output
    assert result.output.count("\n") == 1
