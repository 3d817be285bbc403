from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tvseg
from tvseg.errors import UsageError, UserError
from tvseg.inference.load import Model
from tvseg.runs.folder import RunFolder
from tvseg.verification.embedder import FaceEmbedder


def test_files_pictures_and_arrays_are_embedded(root: Path, run: RunFolder) -> None:
    model = tvseg.load(run.path, device="cpu")
    assert isinstance(model, FaceEmbedder)
    files = sorted(root.glob("eval/*/*_0001.png"))[:3]
    embedded = model.embed(files)
    assert embedded.shape == (3, 16)
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1)
    pictures = [Image.open(file) for file in files]
    assert np.allclose(model.embed(pictures), embedded, atol=1e-3)
    one = model.embed(np.asarray(pictures[0].convert("RGB")))
    assert one.shape == (16,)
    assert np.allclose(one, embedded[0], atol=1e-3)
    mirrored = pictures[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    both = model.embed([pictures[0], mirrored], flip=True)
    assert np.allclose(both[0], both[1], atol=1e-3)
    assert model.embed([]).shape == (0, 16)


def test_what_is_no_picture_is_refused(run: RunFolder, tmp_path: Path) -> None:
    model = tvseg.load(str(run.best))
    with pytest.raises(UserError, match=r"must be a file, a picture .* got float64 \(8, 8\)"):
        model.embed(np.zeros((8, 8)))
    damaged = tmp_path / "face.jpg"
    damaged.write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"face.jpg must be a JPEG, PNG or BMP picture"):
        model.embed(damaged)
    with pytest.raises(UsageError, match="one at a time"):
        tvseg.load([run.path, run.path])
    with pytest.raises(UsageError, match="for segmentation"):
        tvseg.load(run.path, tta=True)
    with pytest.raises(UsageError, match="for segmentation"):
        tvseg.load(run.path, shape="ellipse")


def test_every_form_of_a_face_model_is_loaded(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(run.best.read_bytes())
    for model in (run.last, tmp_path, [run.path]):
        assert isinstance(tvseg.load(model), FaceEmbedder)


def test_segmentation_is_loaded_as_before() -> None:
    assert isinstance(tvseg.load(), Model)
