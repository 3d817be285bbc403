"""The example package of the documentation, installed into a folder, brings what it says."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from tests.data.prepare import miniatures
from tests.documents import PROJECT, TINY
from tvseg.cli import cli
from tvseg.errors import UsageError, UserError
from tvseg.models import build_model
from tvseg.models.spatial import spatial_operator
from tvseg.plugins import OPERATORS, load_plugin, plugin_names
from tvseg.runs.segmentation import load_network


def tvseg(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
           "--no-build-isolation", "--target", str(folder)]  # fmt: skip
    source = PROJECT / "docs" / "examples" / "plugin"
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "tvseg_example.py"):
        (copy / name).write_bytes((source / name).read_bytes())
    subprocess.run([*pip, str(copy)], check=True)
    return folder


@pytest.fixture
def example(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))


@pytest.mark.usefixtures("example")
def test_its_operator_trains_and_loads(phantoms: Path, tmp_path: Path) -> None:
    trained = tvseg(
        "train", "--holdout", "A", "--data", phantoms, "--out", tmp_path, "aspp=biased", *TINY
    )
    assert trained.exit_code == 0, trained.output
    checkpoint = tmp_path / "biased-holdout-A-seed0" / "checkpoints" / "best.safetensors"
    network, _ = load_network(checkpoint)
    biases = [name for name, _ in network.named_parameters() if name.endswith(".1.bias")]
    kinds = {type(layer).__name__ for layer in network.decoder.aspp.wide.modules()}
    assert "BiasedDepthwise" in kinds
    assert biases
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 96, 64)).shape == (1, 2, 96, 64)


@pytest.mark.usefixtures("example")
def test_its_kind_is_prepared(tmp_path: Path) -> None:
    for index, phantom in enumerate(miniatures.fields("A", 3)):
        name = f"P{index}_{'LR'[index % 2]}"
        miniatures.save(phantom.image, tmp_path / "scans" / "photos" / f"{name}.png")
        for part in ("cup", "disc"):
            mask = getattr(phantom, part).astype("uint8") * 255
            miniatures.save(mask, tmp_path / "scans" / "drawn" / f"{name}_{part}.png")
    (tmp_path / "scans" / "drawn" / "P2_L_cup.png").unlink()
    result = tvseg(
        "data", "prepare", "my-clinic", tmp_path / "scans", "--out", tmp_path / "data",
        "--frame", "64px", "--skip-bad",
    )  # fmt: skip
    assert result.exit_code == 3, result.output
    assert "1 to train, 1 to test" in result.stdout
    manifest = (tmp_path / "data" / "MyClinic" / "manifest.csv").read_text()
    assert "P0" in manifest
    assert "P1" in manifest


@pytest.mark.usefixtures("example")
def test_messages_list_what_it_brings() -> None:
    assert plugin_names(OPERATORS) == ["biased"]
    with pytest.raises(UsageError, match=r"operator must be one of depthwise, .*, biased, got"):
        spatial_operator("bias")
    with pytest.raises(UsageError, match=r"aspp must be one of dense, .*, biased, got 'bias'"):
        build_model(aspp="bias")
    assert "rim-one-r3" in (refused := tvseg("data", "prepare", "x", ".", "--out", "y").stderr)
    assert "my-clinic; got 'x'" in refused


def test_without_it_its_names_are_unknown() -> None:
    with pytest.raises(UsageError, match="aspp must be one of dense"):
        build_model(aspp="biased")


def _bring(folder: Path, package: str, points: str) -> None:
    info = folder / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(points)


def test_packages_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    _bring(tmp_path, "one", f"[{OPERATORS}]\nlost = nowhere_at_all:x\ntwice = builtins:len\n")
    _bring(
        tmp_path, "two", f"[{OPERATORS}]\ntwice = builtins:len\n[tvseg.centres]\nn = builtins:len"
    )
    with pytest.raises(UserError, match=r"lost of the package one cannot be loaded .*nowhere_at"):
        load_plugin(OPERATORS, "lost")
    with pytest.raises(UserError, match=r"one and two all bring twice to tvseg.operators"):
        load_plugin(OPERATORS, "twice")
    result = tvseg("data", "prepare", "n", ".", "--out", "y")
    assert result.exit_code == 1
    assert "must be a tvseg.data.prepare.adapters.Adapter, got builtin" in result.stderr
