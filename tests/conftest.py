"""Data that the tests draw for themselves, and the way to real data where there is some."""

import ctypes
import gc
import os
import platform
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tvseg.runs.folder import RunFolder

if os.environ.get("TVSEG_TEST_CUDA") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the suite is for the CPU; so are its figures


MUCH_GARBAGE_MB = 100
"""Growth since the last collection that is worth another."""
_settled_mb = 0.0


def _resident_mb() -> float:
    """Return the memory of this process, 0 where the system does not say."""
    status = Path("/proc/self/statm")
    pages = int(status.read_text().split()[1]) if status.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def give_memory_back() -> None:
    """Collect what engines, which hold their networks in circles, have left, where it is much."""
    global _settled_mb
    if _resident_mb() < _settled_mb + MUCH_GARBAGE_MB:
        return
    gc.collect()  # takes half a second
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    _settled_mb = _resident_mb()


@pytest.fixture(autouse=True)
def memory_is_given_back() -> Iterator[None]:
    yield
    give_memory_back()


@pytest.fixture(autouse=True, scope="module")
def compiled_code_is_dropped() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tvseg.device.keep_freed_memory", lambda: None)  # for whole processes
        yield
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()


@pytest.fixture(scope="module")
def narrow_tvconv() -> Iterator[None]:
    """TVConv whose weight generators have 4 hidden channels: a tenth of the network's memory."""
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_tvconv(patch)
        yield


def use_narrow_tvconv(patch: pytest.MonkeyPatch) -> None:
    """Give networks the layers of the fixture ``narrow_tvconv``."""
    from tvseg.models.spatial import SPATIAL, tvconv

    patch.setitem(SPATIAL, "tvconv", partial(tvconv, hidden_channels=4))


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of four phantom centres: 6 photographs each, 96 px. Not to be written to."""
    from tvseg.data.phantoms.write import write_phantoms

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


@pytest.fixture(scope="session")
def localised_run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> "RunFolder":
    """A short run on the phantoms that has held out A, with a localiser that learnt little."""
    from tvseg.config import load_settings
    from tvseg.localizer.train import LocalizerPlan, train_localizer
    from tvseg.training.train import train

    settings = load_settings(
        None,
        ["aspp=dense", "encoder_weights=none", "image_size=64", "precision=fp32",
         "train.epochs=1", "train.steps_per_epoch=2", "train.images_per_centre=2"],
    )  # fmt: skip
    run = train(settings, holdout="A", root=phantoms, runs=tmp_path_factory.mktemp("localised"))
    plan = LocalizerPlan(
        steps=2, images_per_centre=1, retinas=2, calibration_steps=4, image_size=64
    )
    with pytest.MonkeyPatch.context() as patch:
        every_disc_counts_as_found(patch)
        train_localizer(run, root=phantoms, plan=plan)
    return run


def every_disc_counts_as_found(patch: pytest.MonkeyPatch) -> None:
    """Two steps teach nothing: without this, luck decides whether a localiser can be calibrated."""
    from tvseg.localizer import train as localizer

    patch.setattr(localizer, "_is_on", lambda sighting, disc: bool(disc.any()))
