"""The commands of docs/own-centre.md, in their order."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from tvseg.cli import cli
from tvseg.config import load_settings

pytestmark = pytest.mark.usefixtures("narrow_tvconv")

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / "docs" / "own-centre.md").read_text()
TINY = ["encoder_weights=none", "image_size=64", "train.epochs=1", "train.steps_per_epoch=1",
        "train.images_per_centre=1"]  # fmt: skip


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


def _write_clinic(folder: Path, phantoms: Path) -> None:
    """Whole photographs with masks of values 0, 1 and 2, and their table."""
    rows = ["photograph,mask,patient,eye"]
    for number, path in enumerate(sorted((phantoms / "FullField" / "image").iterdir())):
        name = f"{number // 2:04d}_{'LR'[number % 2]}"
        labels = np.array(Image.open(phantoms / "FullField" / "mask" / path.name))
        values = np.select([labels == 0, labels == 128], [2, 1], 0).astype(np.uint8)
        for kind in ("photos", "masks"):
            (folder / kind).mkdir(exist_ok=True)
        Image.open(path).save(folder / "photos" / f"{name}.jpg", quality=95)
        Image.fromarray(values).save(folder / "masks" / f"{name}.png")
        rows.append(f"photos/{name}.jpg,masks/{name}.png,{name[:4]},{name[-1]}")
    (folder / "clinic.csv").write_text("\n".join(rows) + "\n")


def test_every_command_works(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(phantoms, tmp_path / "data", ignore=shutil.ignore_patterns("FullField"))
    shutil.copytree(PROJECT / "configs", tmp_path / "configs")
    _write_clinic(tmp_path, phantoms)
    monkeypatch.chdir(tmp_path)
    lines = "".join(_blocks("bash")).replace("\\\n", "").splitlines()
    commands = [shlex.split(line) for line in lines]
    assert commands.pop(0) == ["cp", "configs/centres/clinic.yaml", "clinic.yaml"]
    shutil.copy("configs/centres/clinic.yaml", "clinic.yaml")
    assert [command[1] for command in commands] == [
        "data", "data", "predict", "eval", "train", "eval", "train", "predict",
    ]  # fmt: skip
    for program, *arguments in commands:
        assert program == "tvseg"
        result = CliRunner().invoke(cli, arguments + TINY * (arguments[0] == "train"))
        assert result.exit_code == 0, f"{arguments}: {result.output}"
    assert Image.open("sheet.png").width > 1000
    patients = pd.read_csv("data/clinic/manifest.csv")
    assert len(patients) == 8
    assert (patients.groupby("patient")["split"].nunique() == 1).all()
    assert (tmp_path / "outlined" / "measurements.csv").is_file()


def test_every_setting_loads(tmp_path: Path) -> None:
    centre, structures = _blocks("yaml")
    centres = (PROJECT / "configs/centres/clinic.yaml").read_text()
    start = centres.index("  E:")
    (tmp_path / "clinic.yaml").write_text(centres[:start] + centre)
    assert load_settings(tmp_path / "clinic.yaml") == load_settings(
        PROJECT / "configs/centres/clinic.yaml"
    )
    (tmp_path / "other.yaml").write_text(structures)
    assert load_settings(tmp_path / "other.yaml").structures == ("vessel", "lesion")
