"""A run as a MONAI bundle, executed by MONAI's own command line."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from monai.bundle import verify_metadata, verify_net_in_out
from monai.bundle.scripts import run as run_bundle
from PIL import Image

from tests.documents import PROJECT
from tvseg.cli import cli
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.runs.starter import STARTER, STARTER_LOCALIZER

SCHEMAS = ("meta_schema_20240725.json", "bundle_schema.json")
"""MONAI's own, as https://project-monai.github.io/schema serves it (Project MONAI, Apache-2.0), and
a stricter one of the keys that we fill."""
NOT_SQUARE = (120, 176)  # height, width


def tvseg(*arguments: object) -> None:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def export(run: RunFolder, out: Path) -> Path:
    tvseg("export", run.path, "--to", "bundle", "--out", out)
    return out


@pytest.fixture(scope="module")
def bundle(scored_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(scored_run, tmp_path_factory.mktemp("bundles") / "discs")


@pytest.fixture(scope="module")
def photographs(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Full photographs, one of them not square, one of nothing."""
    folder = tmp_path_factory.mktemp("photographs")
    height, width = NOT_SQUARE
    for path in sorted((phantoms / "FullField" / "image").iterdir())[:2]:
        shutil.copy(path, folder)
    with Image.open(path) as picture:
        picture.resize((width, height)).save(folder / "wide.png")
    Image.new("RGB", (90, 70)).save(folder / "dark.png")
    return folder


def config(bundle: Path, name: str) -> dict[str, str]:
    configs = bundle / "configs"
    return {"config_file": str(configs / f"{name}.json"), "bundle_root": str(bundle)}


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The starter weights, which know discs, as a finished run."""
    _, card = load_network(STARTER)
    run = RunFolder.of(tmp_path_factory.mktemp("starter"), card.settings, card.holdout)
    known = {"holdout": card.holdout, "seed": 0, "fingerprint": card.fingerprint}
    run.begin(card.settings, {}, **known)
    run.write_info(finished="now", train_seconds=1.0, best_epoch=card.epoch, chosen=card.chosen)
    run.best.parent.mkdir()
    shutil.copy(STARTER, run.best)
    shutil.copy(STARTER_LOCALIZER, run.localizer)
    return run


def check_masks(bundle: Path, photographs: Path, out: Path, *predictor: object) -> None:
    """Compare the bundle's masks with the predictor's, file by file."""
    tvseg("predict", photographs, "--out", out / "tvseg", "--batch-size", 1, *predictor)
    run_bundle(
        **config(bundle, "inference"), dataset_dir=str(photographs), output_dir=str(out / "monai")
    )
    wanted = {path.name: path for path in (out / "tvseg" / "masks").iterdir()}
    given = {path.name: path for path in (out / "monai" / "masks").iterdir()}
    assert given.keys() == wanted.keys() == {path.name for path in photographs.iterdir()}
    for name, path in wanted.items():
        assert given[name].read_bytes() == path.read_bytes(), name
    mask = np.asarray(Image.open(given["wide.png"]))
    assert mask.shape == NOT_SQUARE
    assert 0.001 < (mask < 255).mean() < 0.5


def test_masks_are_those_of_predict(starter: RunFolder, photographs: Path, tmp_path: Path) -> None:
    bundle = export(starter, tmp_path / "bundle")
    assert (bundle / "models" / "localizer.safetensors").is_file()
    check_masks(bundle, photographs, tmp_path)


def test_masks_of_whole_pictures_are_those_of_predict(
    starter: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    alone = RunFolder(Path(shutil.copytree(starter.path, tmp_path / "run")))
    alone.localizer.unlink()
    height, width = NOT_SQUARE
    (tmp_path / "regions").mkdir()
    region = next((phantoms / "Domain1" / "test" / "ROIs" / "image").iterdir())
    with Image.open(region) as picture:
        picture.resize((width, height)).save(tmp_path / "regions" / "wide.png")
    bundle = export(alone, tmp_path / "bundle")
    check_masks(bundle, tmp_path / "regions", tmp_path, "--model", alone.path)


@pytest.mark.parametrize("name", SCHEMAS)
def test_metadata_is_valid_and_filled(bundle: Path, tmp_path: Path, name: str) -> None:
    schema = shutil.copy(Path(__file__).with_name(name), tmp_path)  # so MONAI downloads none
    path = bundle / "configs" / "metadata.json"
    verify_metadata(meta_file=str(path), filepath=schema)
    metadata = json.loads(path.read_text())
    assert metadata["data_license"] == "other"
    assert any(name.startswith("Drishti-GS, disc, DSC") for name in metadata["eval_metrics"])
    assert metadata["required_packages_version"]["torchvision"]
    del metadata["task"]
    broken = tmp_path / "metadata.json"
    broken.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="'task' is a required property"):
        verify_metadata(meta_file=str(broken), filepath=schema)


@pytest.mark.parametrize("name", ["inference", "evaluate", "train"])
def test_the_network_is_as_the_metadata_say(bundle: Path, name: str) -> None:
    meta_file = str(bundle / "configs" / "metadata.json")
    options = config(bundle, name) | {"meta_file": meta_file, "device": "cpu"}
    verify_net_in_out(net_id="network", **options)
    wrong = {"_meta_#network_data_format#outputs#pred#num_channels": 3}
    with pytest.raises(ValueError, match="output channel number"):
        verify_net_in_out(net_id="network", **options, **wrong)


def test_it_evaluates(bundle: Path, phantoms: Path, tmp_path: Path) -> None:
    run_bundle(**config(bundle, "evaluate"), dataset_dir=str(phantoms), output_dir=str(tmp_path))
    with (tmp_path / "metrics.csv").open() as file:
        scores = {row[0]: float(row[1]) for row in csv.reader(file)}
    assert scores.keys() == {"dice", "dice_cup", "dice_disc"}
    assert 0 < scores["dice_disc"] <= 1


def test_it_trains(bundle: Path, phantoms: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    run_bundle(**config(copy, "train"), dataset_dir=str(phantoms), epochs=1, steps_per_epoch=1)
    before, after = (
        torch.load(copy / "models" / name, weights_only=True) for name in ("model.pt", "trained.pt")
    )
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    (copy / "models" / "trained.pt").replace(copy / "models" / "model.pt")
    run_bundle(**config(copy, "evaluate"), dataset_dir=str(phantoms), output_dir=str(tmp_path))
    assert (tmp_path / "metrics.csv").is_file()


@pytest.mark.slow
def test_the_commands_of_its_readme_run(
    bundle: Path, photographs: Path, phantoms: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    text = (copy / "docs" / "README.md").read_text()
    commands = [line for line in text.splitlines() if line.startswith("python -m monai.bundle")]
    assert len(commands) == 3
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    for line in commands:
        words = line.replace("PHOTOGRAPHS", str(photographs)).replace("DATA", str(phantoms))
        done = subprocess.run(
            [sys.executable, *words.split()[1:]],
            cwd=copy, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((copy / "outlined" / "masks").iterdir())) == 4
    assert (copy / "evaluated" / "metrics.csv").is_file()
    assert (copy / "models" / "trained.pt").is_file()


def test_push_belongs_to_the_hub(scored_run: RunFolder, tmp_path: Path) -> None:
    words = ["export", str(scored_run.path), "--to", "bundle", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli, [*words, "--push", "clinic/discs"])
    assert result.exit_code == 2
    assert "--push belongs to --to hub" in result.stderr
