"""Data that the tests draw for themselves, and the way to real data where there is some."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # the suite is for the CPU; so are its figures

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of four phantom centres: 6 photographs each, 96 px. Not to be written to."""
    from tvseg.data.phantom_centres import write_phantoms

    root = tmp_path_factory.mktemp("phantoms") / "data"
    write_phantoms(root, per_centre=6, seed=1, side_px=96)
    return root


@pytest.fixture(scope="session")
def fundus4() -> Path:
    """The four real centres, from $TVSEG_DATA or beside the project."""
    root = Path(os.environ.get("TVSEG_DATA") or SHARED / "data" / "fundus4")
    if not (root / "Domain1").is_dir():
        pytest.skip(f"needs the four real centres in $TVSEG_DATA or {root}")
    return root


@pytest.fixture(scope="session")
def imagenet_weights() -> Path:
    """ImageNet weights of the MobileNetV2 encoder, from beside the project."""
    path = SHARED / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not path.is_file():
        pytest.skip(f"needs the encoder weights {path}")
    return path
