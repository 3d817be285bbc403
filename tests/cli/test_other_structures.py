"""Other centres and other structures by configuration alone, through the real commands."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tvseg.cli import cli

TINY = ["encoder_weights=none", "image_size=64", "train.epochs=1", "train.steps_per_epoch=3",
        "train.images_per_centre=2", "train.learning_rate=0.01"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("narrow_tvconv")

NESTED = """
structures: [lesion, organ]
encoding: {0: [], 1: [organ], 2: [organ, lesion]}
"""
DISJOINT = """
structures: [vessel, lesion]
scattered: [vessel]
encoding: {0: [], 1: [vessel], 2: [lesion]}
"""
CENTRES = """
centres:
  north: {name: North, folder: Domain1}
  south: {name: South, folder: Domain2}
  E: {name: fifth, folder: made/up, encoding: %s, patient_pattern: '^(\\d+)_'}
"""


def tvseg(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def _relabel(source: Path, target: Path, values: Mapping[int, int], *, mirrored: bool) -> None:
    """A phantom centre with other mask values, and its photographs, maybe mirrored and renamed."""
    for number, path in enumerate(sorted(source.rglob("image/*.png"))):
        mask = path.parents[1] / "mask" / path.name
        name = f"{number:04d}_L.png" if mirrored else path.name
        labels = np.array(Image.open(mask))
        changed = np.select([labels == value for value in values], list(values.values()))
        for kind, pixels in (("image", np.array(Image.open(path))), ("mask", changed)):
            folder = target / path.parents[2].name / "ROIs" / kind
            folder.mkdir(parents=True, exist_ok=True)
            oriented = pixels[:, ::-1] if mirrored else pixels
            Image.fromarray(np.ascontiguousarray(oriented).astype(np.uint8)).save(folder / name)


@pytest.mark.parametrize(
    ("structures", "own_encoding", "names"),
    [
        (NESTED, "{9: [], 7: [organ], 8: [organ, lesion]}", ["lesion", "organ"]),
        (DISJOINT, "{9: [], 7: [vessel], 8: [lesion]}", ["vessel", "lesion"]),
    ],
    ids=["nested", "disjoint"],
)
def test_a_fifth_centre_with_other_structures(
    phantoms: Path, tmp_path: Path, structures: str, own_encoding: str, names: list[str]
) -> None:
    data, runs, out = tmp_path / "data", tmp_path / "runs", tmp_path / "out"
    for folder in ("Domain1", "Domain2"):
        _relabel(phantoms / folder, data / folder, {255: 0, 128: 1, 0: 2}, mirrored=False)
    _relabel(phantoms / "Domain3", data / "made/up", {255: 9, 128: 7, 0: 8}, mirrored=True)
    task, centres = tmp_path / "task.yaml", tmp_path / "centres.yaml"
    task.write_text(structures)
    centres.write_text(CENTRES % own_encoding)
    configs = ["--config", task, "--config", centres]

    checked = tvseg("data", "check", data, *configs, "--sheet", tmp_path / "sheet.png")
    assert checked.exit_code == 0, checked.output
    assert "No problems, no warnings." in checked.output
    assert all(name in checked.output for name in names)

    trained = tvseg("train", "--holdout", "E", "--data", data, "--out", runs, *configs, *TINY)
    assert trained.exit_code == 0, trained.output
    run = runs / "tvconv-holdout-E-seed0"

    scored = tvseg("eval", run, "--data", data)
    assert scored.exit_code == 0, scored.output
    cases = pd.read_csv(run / "eval" / "honest" / "cases.csv")
    assert set(cases["structure"]) == set(names)
    assert set(cases["centre"]) == {"E"}
    table = (run / "eval" / "honest" / "table.md").read_text()
    assert all(f"| {name} | E |" in table for name in names)

    pictures = data / "made/up/test/ROIs/image"
    formats = ["--formats", "overlay,mask,nifti"]
    done = tvseg("predict", pictures, "--model", run, "--out", out, *formats)
    assert done.exit_code == 0, done.output
    with (out / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(f"{name}_area_px" in row for name in names for row in rows)
    assert not any("vcdr" in column for column in rows[0])
    for row in rows:
        labels = np.array(Image.open(out / "masks" / f"{row['id']}.png"))
        assert set(np.unique(labels)) <= {0, 1, 2}
        assert (labels == 2).sum() == int(row["lesion_area_px"])
        assert Image.open(out / "overlays" / f"{row['id']}.png").size == (96, 96)
