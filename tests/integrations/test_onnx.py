"""Runs as ONNX graphs, and predictions by them where there is no torch."""

import configparser
import json
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import tvseg
from tests.conftest import SHARED
from tests.inference.drawn import draw_field
from tvseg.cli import cli
from tvseg.errors import UserError
from tvseg.inference.load import find_checkpoint
from tvseg.inference.onnx_network import OnnxNetwork
from tvseg.integrations.onnx import export_onnx
from tvseg.localizer.card import LocalizerCard
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.folder import RunFolder

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

PROJECT = Path(__file__).parents[2]
FORBIDDEN = ("torch", "torchvision", "monai", "segmentation_models_pytorch", "pandas", "numba")
WITHOUT_TORCH = f"""
import sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FORBIDDEN}:
            raise ModuleNotFoundError(name + " is forbidden", name=name)

sys.meta_path.insert(0, Forbid())
"""


def predict_without_torch(*commands: list[str]) -> set[str]:
    """Run ``tvseg predict`` in a process without torch; return the packages that it imported."""
    code = f"""{WITHOUT_TORCH}
from tvseg.cli import cli
for words in {commands}:
    cli(["predict", *words], standalone_mode=False)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.fixture(scope="module")
def exported(localised_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "onnx"
    words = ["export", str(localised_run.path), "--to", "onnx", "--out", str(out)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == [
        "localizer.json", "localizer.onnx", "network.json", "network.onnx"
    ]  # fmt: skip
    return out


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for number, width in enumerate((200, 160, 240)):
        field = draw_field(width, 90, 80, 18)
        Image.fromarray(field).save(folder / f"{number}.png")
    return folder


def dice(one: np.ndarray, other: np.ndarray) -> float:
    total = one.sum() + other.sum()
    return 2.0 * (one & other).sum() / total if total else 1.0


def compare(one: Path, other: Path) -> None:
    """Check that two folders of predictions have the same files and masks."""
    files = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert files == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}
    masks = [file for file in files if file.parts[0] == "masks"]
    assert masks
    for file in masks:
        first, second = (np.array(Image.open(folder / file)) for folder in (one, other))
        for value in (128, 255):  # below: the cup, the disc
            assert dice(first < value, second < value) >= 0.999


def test_a_process_without_torch_writes_the_same_files(
    localised_run: RunFolder, exported: Path, photographs: Path, tmp_path: Path
) -> None:
    words = [str(photographs), "--formats", "mask,overlay,geojson"]
    folders = {
        roi: (tmp_path / f"torch-{roi}", tmp_path / f"onnx-{roi}") for roi in ("auto", "none")
    }
    for roi, (with_torch, _) in folders.items():
        run = ["--roi", roi, "--model", str(localised_run.path), "--out", str(with_torch)]
        assert CliRunner().invoke(cli, ["predict", *words, *run]).exit_code == 0
    packages = predict_without_torch(
        *(
            [*words, "--roi", roi, "--model", str(exported), "--out", str(without)]
            for roi, (_, without) in folders.items()
        )
    )
    assert not packages & set(FORBIDDEN)
    for with_torch, without in folders.values():
        compare(with_torch, without)
    about = json.loads((without / "run.json").read_text())["about"]
    assert "onnxruntime" in about
    assert "torch" not in about
    assert about["structures"] == ["cup", "disc"]
    required = {
        canonicalize_name(Requirement(line).name)
        for line in (PROJECT / "requirements" / "onnx.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    direct = {"onnxruntime", "numpy", "scipy", "skimage", "PIL", "cv2", "click", "pydantic", "yaml"}
    assert direct <= packages
    distributions = packages_distributions()
    wanted = {canonicalize_name(distributions[name][0]) for name in direct}
    assert wanted <= required


def test_requirements_without_torch_are_those_of_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    stated = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    known = {line for text in stated for line in text.splitlines()}
    lines = (PROJECT / "requirements" / "onnx.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} <= known


@pytest.mark.parametrize(
    ("name", "kind"), [("network", SegmentationCard), ("localizer", LocalizerCard)]
)
def test_a_graph_carries_its_card(exported: Path, name: str, kind: type) -> None:
    graph = onnx.load(exported / f"{name}.onnx")
    assert graph.ir_version == 10
    assert [entry.version for entry in graph.opset_import if not entry.domain] == [18]
    assert {entry.domain for entry in graph.opset_import} <= {"", "pkg.onnxscript.torch_lib"}
    card = json.loads({entry.key: entry.value for entry in graph.metadata_props}["tvseg"])
    assert card == json.loads((exported / f"{name}.json").read_text())
    assert kind.model_validate(card).holdout == "A"
    (images,) = graph.graph.input
    (logits,) = graph.graph.output
    sizes = [dim.dim_param or dim.dim_value for dim in images.type.tensor_type.shape.dim]
    assert sizes == ["batch", 64, 64, 3]
    assert logits.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_every_batch_size_gives_the_logits_of_torch(
    localised_run: RunFolder, exported: Path
) -> None:
    torch_network = tvseg.load(localised_run.path, device="cpu").pipeline.ensemble.networks[0]
    network = OnnxNetwork(exported / "network.onnx")
    images = np.random.default_rng(0).integers(256, size=(3, 64, 64, 3), dtype=np.uint8)
    expected = torch_network(images)
    for size in (1, 3):
        np.testing.assert_allclose(
            network(images[:size]), expected[:size], atol=1e-4 * expected.std()
        )
    assert np.abs(network(images[:, ::-1]) - expected).max() > 1e-2 * expected.std()


def test_what_is_no_exported_network_is_refused(exported: Path, tmp_path: Path) -> None:
    whole = (exported / "network.onnx").read_bytes()
    damaged = tmp_path / "network.onnx"
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"network\.onnx is damaged or no ONNX file"):
        tvseg.load(tmp_path)
    graph = onnx.load(exported / "network.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, damaged)
    with pytest.raises(UserError, match="it has no card"):
        tvseg.load(damaged)
    shutil.copy(exported / "localizer.onnx", damaged)
    with pytest.raises(UserError, match="a network for localizer, not for segmentation"):
        tvseg.load(tmp_path)
    card = json.loads((exported / "network.json").read_text())
    card["settings"]["image_size"] = 96
    graph = onnx.load(exported / "network.onnx")
    graph.metadata_props.add(key="tvseg", value=json.dumps(card))
    graph.metadata_props.pop(-2)
    onnx.save(graph, damaged)
    with pytest.raises(UserError, match="its card wants images of 96 px"):
        tvseg.load(tmp_path)
    with pytest.raises(UserError, match="device of an exported network must be out of cpu"):
        tvseg.load(exported, device="mps")


def test_an_exported_folder_is_no_run(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is exported already"):
        export_onnx(exported, tmp_path / "new")
    assert find_checkpoint(exported) == exported / "network.onnx"


@pytest.mark.slow
def test_int8_is_smaller_and_says_what_it_changes(
    photographs: Path, exported: Path, localised_run: RunFolder, tmp_path: Path
) -> None:
    words = ["export", str(localised_run.path), "--to", "onnx", "--int8", str(photographs)]
    done = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "int8")])
    assert done.exit_code == 0, done.output
    small, large = (folder / "network.onnx" for folder in (tmp_path / "int8", exported))
    assert small.stat().st_size < large.stat().st_size / 2
    stated = json.loads(small.with_suffix(".json").read_text())["int8"]
    assert stated["photographs"] == 3
    models = [tvseg.load(folder) for folder in (exported, tmp_path / "int8")]
    for name, value in stated["dice_with_float"].items():
        scores = [
            dice(*(model(path).masks[name] for model in models))
            for path in sorted(photographs.iterdir())
        ]
        assert value == pytest.approx(np.mean(scores), abs=1e-6)
        assert (
            f"{name}: mean Dice of the masks with those before rounding {value:.4f}" in done.output
        )


@pytest.mark.slow
def test_starter_weights_outline_full_photographs_without_torch(tmp_path: Path) -> None:
    real = SHARED / "data" / "open_photographs"
    photographs = real if real.is_dir() else tmp_path / "drawn"
    if photographs != real:
        words = ["data", "synth", str(tmp_path / "data"), "--per-centre", "2"]
        assert CliRunner().invoke(cli, words).exit_code == 0
        photographs = tmp_path / "data" / "FullField" / "image"
    export_onnx(None, tmp_path / "onnx")
    words = [str(photographs), "--out"]
    out = tmp_path / "with-torch"
    assert CliRunner().invoke(cli, ["predict", *words, str(out), "--device", "cpu"]).exit_code == 0
    predict_without_torch([*words, str(tmp_path / "without"), "--model", str(tmp_path / "onnx")])
    compare(out, tmp_path / "without")
