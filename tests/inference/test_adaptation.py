"""Batch norm takes its statistics from the photographs that are predicted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from tests.inference.drawn import ENCODING, make_network
from tvseg.cli import cli
from tvseg.errors import UserError
from tvseg.inference.adaptation import adapt
from tvseg.inference.pipeline import Ensemble, Pipeline
from tvseg.inference.regions import whole_pictures
from tvseg.runs.folder import RunFolder

TINY_PICTURE = np.zeros((16, 16, 3), np.uint8)


def pictures(count: int, value: int) -> list[np.ndarray]:
    rng = np.random.default_rng(value)
    return [rng.integers(value, value + 9, (64, 64, 3), dtype=np.uint8) for _ in range(count)]


def test_statistics_are_those_of_the_regions_and_of_nothing_else() -> None:
    layer = nn.BatchNorm2d(3)
    network = make_network(nn.Sequential(layer, nn.Dropout(0.5), nn.Conv2d(3, 2, 1)))
    pipeline = Pipeline(Ensemble([network]), whole_pictures)
    state = torch.get_rng_state()
    assert adapt(pipeline, [*pictures(20, 200), TINY_PICTURE]).regions == 20
    assert torch.equal(torch.get_rng_state(), state)
    mean = np.mean(pictures(20, 200)) / 127.5 - 1
    assert layer.running_mean is not None
    assert layer.running_mean.tolist() == pytest.approx([mean] * 3, abs=1e-3)
    assert not layer.training
    seen = network(np.stack(pictures(2, 200)))
    other = make_network(nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), network.network[2]))
    adapt(Pipeline(Ensemble([other]), whole_pictures), pictures(8, 20))
    assert not np.allclose(other(np.stack(pictures(2, 200))), seen)
    with pytest.raises(UserError, match="adapts before its first call; load it again"):
        adapt(pipeline, pictures(8, 20))


def test_variances_count_the_differences_between_groups_of_a_sorted_list() -> None:
    layer = nn.BatchNorm2d(3)
    images = [*pictures(16, 20), *pictures(16, 200)]
    adapt(Pipeline(Ensemble([make_network(layer)]), whole_pictures), images)
    assert layer.running_var is not None
    variance = (np.stack(images) / 127.5).var()
    assert layer.running_var.tolist() == pytest.approx([variance] * 3, rel=0.1)


def test_few_photographs_and_exported_networks_are_refused() -> None:
    pipeline = Pipeline(Ensemble([make_network()]), whole_pictures)
    with pytest.raises(UserError, match=r"takes 8 photographs or more .* got 7"):
        adapt(pipeline, pictures(7, 20))

    class Exported:
        image_size, encoding = 64, ENCODING

        def __call__(self, images: np.ndarray) -> np.ndarray:
            return np.zeros((len(images), 2, 64, 64), np.float32)

    pipeline = Pipeline(Ensemble([Exported()]), whole_pictures)
    unread = iter(pictures(8, 20))
    with pytest.raises(UserError, match="run folders or checkpoints, not ONNX"):
        adapt(pipeline, unread)
    assert len(list(unread)) == 8


def test_predict_keeps_to_what_it_adapted_to(localised_run: RunFolder, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, pixels in enumerate(pictures(9, 100)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    arguments = ["predict", str(folder), "--model", str(localised_run.path), "--roi", "none"]
    arguments += ["--out", str(out), "--adapt", "batchnorm"]
    said = CliRunner().invoke(cli, arguments)
    assert "adapted to 9 of 10 photographs" in said.output
    assert '"batchnorm": 9' in (out / "run.json").read_text()
    Image.fromarray(pictures(1, 20)[0]).save(folder / "0.png")
    said = CliRunner().invoke(cli, [*arguments, "--resume"])
    assert said.exit_code == 1
    assert "adapt changed" in said.output
