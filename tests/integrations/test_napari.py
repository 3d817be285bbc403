"""The plug-in of napari, on arrays and without a window."""

import configparser
import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import tvseg
from tests.inference.drawn import draw_field, make_pipeline
from tests.inference.predicted import draw_fields, run
from tvseg.errors import UserError
from tvseg.inference import load
from tvseg.integrations import napari
from tvseg.integrations.napari import get_reader, phantom, read_folder, segment

MANIFEST = Path(tvseg.__file__).parent / "napari.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of predictions of two photographs."""
    (tmp_path / "photographs").mkdir()
    draw_fields(tmp_path / "photographs", 2)
    model = load.Model(make_pipeline(), about={})
    encoding = model.pipeline.encoding
    out = tmp_path / "out"
    run(tmp_path / "photographs", out)
    about = {
        "formats": ["mask"],
        "structures": list(encoding.structures),
        "encoding": {str(key): list(names) for key, names in encoding.values.items()},
    }
    from tvseg.inference.output.folder import OutputFolder

    folder = OutputFolder(out, formats=["mask"], structures=encoding.structures)
    folder.record.update(about=about)
    return out


def test_the_manifest_names_what_exists() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    assert manifest["schema_version"] == "0.3.0"
    contributions = manifest["contributions"]
    for command in contributions["commands"]:
        module, name = command["python_name"].split(":")
        assert callable(getattr(importlib.import_module(module), name))
    ids = {command["id"] for command in contributions["commands"]}
    used = [one["command"] for kind in ("widgets", "sample_data", "readers")
            for one in contributions[kind]]  # fmt: skip
    assert set(used) == ids
    assert [widget["display_name"] for widget in contributions["widgets"]] == [
        "Segment disc and cup"
    ]
    setup = configparser.ConfigParser()
    setup.read(MANIFEST.parents[1] / "setup.cfg")
    assert "tvseg = tvseg:napari.yaml" in setup["options.entry_points"]["napari.manifest"]
    assert "napari.yaml" in setup["options.package_data"]["tvseg"].split()


@pytest.mark.skipif(find_spec("npe2") is None, reason="needs npe2: pip install npe2")
def test_npe2_validates_the_manifest() -> None:
    words = [sys.executable, "-m", "npe2", "validate", str(MANIFEST), "--imports"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_widget_gives_labels_and_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fake_load(model: str | None) -> load.Model:
        asked.append(model)
        return load.Model(make_pipeline())

    monkeypatch.setattr(load, "load", fake_load)
    field = draw_field(120, 60, 50, 20)
    ((labels, arguments, kind),) = segment(SimpleNamespace(data=field, name="eye"))
    assert asked == [None]
    assert kind == "labels"
    assert labels.shape == (120, 120)
    assert set(np.unique(labels)) == {0, 1, 2}
    masks = load.Model(make_pipeline())(field).masks
    assert ((labels == 1) == masks["cup"]).all()
    assert ((labels > 0) == masks["disc"]).all()
    assert arguments["features"]["index"] == [1, 2]
    assert arguments["features"]["vcdr"][0] > 0


def test_the_sample_is_a_photograph_and_its_truth() -> None:
    (image, _, kind), (truth, _, other) = phantom()
    assert (kind, other) == ("image", "labels")
    assert image.shape == (*truth.shape, 3)
    assert image.dtype == np.uint8
    assert set(np.unique(truth)) == {0, 1, 2}


def test_the_reader_opens_folders_of_predictions_alone(folder: Path, tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(folder)]) is None
    assert get_reader(str(folder)) is read_folder
    layers = read_folder(str(folder))
    assert [kind for _, _, kind in layers] == ["image", "labels"] * 2
    assert [arguments["visible"] for _, arguments, _ in layers] == [True, True, False, False]
    for place in (0, 1):
        image, labels = layers[2 * place][0], layers[2 * place + 1][0]
        written = np.array(Image.open(folder / "masks" / f"{place:02d}.png"))
        original = np.array(Image.open(tmp_path / "photographs" / f"{place:02d}.png"))
        assert (image == original).all()
        assert ((labels == 1) == (written == 0)).all()
        assert ((labels == 2) == (written == 128)).all()
        assert layers[2 * place + 1][1]["features"]["id"] == [f"{place:02d}"] * 2


def test_a_folder_that_cannot_be_shown_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(napari, "MAX_PHOTOGRAPHS", 1)
    with pytest.raises(UserError, match="at most 1 photographs to be opened, it has 2"):
        read_folder(str(folder))
