"""The wheel, installed in an empty environment outside the clone, does what the README shows."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.test_package import WITHOUT_EXTRAS

PROJECT = Path(__file__).parents[1]
TINY = [
    "encoder_weights=none", "image_size=64", "train.epochs=1", "train.steps_per_epoch=2",
    "train.images_per_centre=2",
]  # fmt: skip
TOGETHER = """
import json, sys

from tvseg.cli import cli

for words in json.loads(sys.argv[1]):
    cli(words, standalone_mode=False)
"""
"""Runs commands in one process, which loads torch once."""


def _run(*words: str | Path, cwd: Path) -> str:
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(words, cwd=cwd, env=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution of a copy of the clone."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("tvseg", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, symlinks=True, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    _run(sys.executable, "-m", "build", "--no-isolation", cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_every_config(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = [path.relative_to(PROJECT) for path in (PROJECT / "configs").rglob("*.yaml")]
    assert len(configs) >= 8
    assert {f"tvseg/{path.as_posix()}" for path in configs} <= names
    bundle = list((PROJECT / "tvseg" / "integrations" / "bundle").glob("*.json"))
    assert len(bundle) == 3
    assert {path.relative_to(PROJECT).as_posix() for path in bundle} <= names


def test_the_wheel_holds_the_starter_weights(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {"starter.safetensors", "starter-localizer.safetensors", "README.md"}
    assert {f"tvseg/weights/{name}" for name in files} <= names


def test_the_wheel_works_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    # the dependencies are those of this environment; its .pth files, the clone's own, are not read
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps"]
    _run(*pip, "--quiet", wheel, cwd=tmp_path)
    where = _run(python, "-c", "import tvseg; print(tvseg.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(site)

    tvseg = environment / "bin" / "tvseg"
    _run(tvseg, "data", "synth", "data", "--per-centre", "4", "--size", "96", cwd=tmp_path)
    photographs = "data/Domain1/test/ROIs/image"
    training = ["train", "--holdout", "A", "--data", "data", "--config", "depthwise", *TINY]
    starting = ["predict", photographs, "--out", "at-once"]
    printed = _run(python, "-c", TOGETHER, json.dumps([training, starting]), cwd=tmp_path)
    assert "starter weights" in printed
    model = "runs/depthwise-holdout-A-seed0"
    plain = f"{WITHOUT_EXTRAS}cli(sys.argv[1:])"
    words = ["predict", photographs, "--model", model, "--out", "outlined"]
    _run(python, "-c", plain, *words, cwd=tmp_path)
    masks = {path.name for path in (tmp_path / "outlined" / "masks").iterdir()}
    assert masks == {path.name for path in (tmp_path / photographs).iterdir()}
    assert len(list((tmp_path / "at-once" / "overlays").iterdir())) == len(masks)
