"""`tvseg bench zoo` and `tvseg bench backbone` on the smallest networks."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from tvseg.bench import backbones, targets, zoo, zoo_memory, zoo_networks
from tvseg.bench.measurement import FORWARD
from tvseg.bench.targets import STEP, Target
from tvseg.bench.zoo import Plan, Row, largest_error, measure_zoo
from tvseg.bench.zoo_networks import ZooNetwork, entries
from tvseg.bench.zoo_report import read_accuracies, with_accuracies, write_plots
from tvseg.cli import cli
from tvseg.errors import UserError
from tvseg.models.backbones import mobilenet_v2
from tvseg.models.spatial import operator_names
from tvseg.ops import TVConv2d

FEW = [
    ZooNetwork("MobileNetV2", 0.1, "tvconv"),
    ZooNetwork("MLP-Mixer", (64, 4, 16), "mlp"),
]
TINY = Plan((1, 2), (1, 2), 1e-4)


@pytest.fixture
def few_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_networks, "entries", lambda *, quick: FEW)
    monkeypatch.setattr(zoo, "QUICK", TINY)


def test_the_zoo_is_every_operator_in_every_backbone_and_width() -> None:
    assert len(entries()) == 8 * len(operator_names()) + 5
    assert len(entries(quick=True)) == 2 * len(operator_names()) + 1
    assert {entry.width for entry in entries() if entry.operator == "mlp"} >= {"128x8/16"}


@pytest.mark.usefixtures("few_networks")
def test_zoo_prints_a_table_and_writes_csv_and_plots(tmp_path: Path) -> None:
    scores = tmp_path / "runs.csv"
    scores.write_text(
        "backbone,width,operator,accuracy\nMobileNetV2,0.1,tvconv,97\nMobileNetV2,0.1,tvconv,98\n"
    )
    result = CliRunner().invoke(
        cli,
        ["bench", "zoo", "--quick", "--accuracies", str(scores), "--out", str(tmp_path)],
        env={"COLUMNS": "1000"},
    )
    assert result.exit_code == 0, result.output
    assert "18.02" in result.stdout
    assert "97.50" in result.stdout
    table = pd.read_csv(tmp_path / "zoo.csv", dtype={"width": str})
    assert table["width"].tolist() == ["0.1", "64x4/16"]
    assert table["macs_as_published"].tolist()[0] == 22_474_240
    assert table["parameters"].tolist()[0] == 16_369_368
    assert table["parameters_frozen"].tolist()[0] == 4_084_992 + 324_672 - 9 * 1064
    assert table["error"].between(0, 1e-3).all()
    if sys.platform == "linux":
        tvconv, mixer = table["peak_mb"]
        assert tvconv > mixer > 0.9  # the Mixer's parameters alone
        assert tvconv > 4e-6 * (16_369_368 + 4_084_992)
    points = pd.read_csv(tmp_path / "throughput.csv")
    assert len(points) == len(FEW) * 4
    best = points.groupby("operator")["images_per_second"].max()
    assert best["tvconv"] == pytest.approx(table["images_per_second"][0])
    for name in ("complexity", "throughput", "memory"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 400


def test_a_network_with_a_wrong_operator_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = TVConv2d.forward
    monkeypatch.setattr(
        TVConv2d,
        "forward",
        lambda layer, x: right(layer, x) * (1 if x.dtype == torch.float64 else 1.01),
    )
    monkeypatch.setattr(zoo, "_throughput", None)
    (row,) = measure_zoo(FEW[:1], plan=TINY, say=lambda _: None)
    assert row.refused
    assert row.error == pytest.approx(0.01, rel=0.01)
    assert row.images_per_second is None


def test_errors_are_those_of_the_operators_not_of_the_chain() -> None:
    torch.manual_seed(0)
    network = mobilenet_v2(0.1, operator="involution").eval()
    assert 0 < largest_error(network, torch.randn(2, 3, 96, 96)) < 1e-5


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_that_of_parameters_and_maps() -> None:
    peak = zoo_memory.peak_of_process(wide, (8, 3, 96, 96), torch.contiguous_format)
    assert peak is not None
    least = 4 * (1024 * 4096 + 8 * 3 * 96 * 96)
    assert least <= peak < 1.5 * least + 4e6


def wide() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d((16, 64)), nn.Flatten(2), nn.Linear(1024, 4096))


def test_plots_of_what_was_not_measured_are_left_out(tmp_path: Path) -> None:
    rows = [
        Row("MobileNetV2", width, "tvconv", macs, 20, 30, 40, 0.0, images_per_second=5.0)
        for width, macs in (("0.1", 10), ("0.2", 20))
    ]
    write_plots(rows, tmp_path)  # as where the peak memory cannot be read
    assert [path.name for path in tmp_path.iterdir()] == ["complexity.png"]


def test_accuracies_are_means_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("backbone,width,operator,accuracy\nA,1,x,90\nA,1,x,92\nA,1,y,80\n")
    known = read_accuracies(path)
    assert known == {("A", "1", "x"): 91, ("A", "1", "y"): 80}
    rows = [Row("A", "1", name, 1, 1, 1, 1, 0.0) for name in ("x", "z")]
    assert [row.accuracy for row in with_accuracies(rows, known)] == [91, None]
    path.write_text("backbone,accuracy\nA,high\n")
    with pytest.raises(UserError, match=r"a.csv must be a CSV file with columns backbone, width"):
        read_accuracies(path)


def test_backbone_checks_its_targets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backbones, "BATCHES", (2,))
    monkeypatch.setattr(backbones, "WIDTHS", (0.1,))
    bounds = {FORWARD: 1e-9, STEP: 1e9}
    monkeypatch.setattr(targets, "TARGETS", [
        Target("MobileNetV2 x0.1", batch, passes, "to_depthwise", bounds[passes], "tvconv")
        for batch, passes in ((2, FORWARD), (3, STEP))
    ])  # fmt: skip
    arguments = ["bench", "backbone", "--rounds", "1", "--images", "3", "--check"]
    result = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path)])
    assert result.exit_code == 1, result.output
    missed = [line for line in result.stderr.splitlines() if "must be within" in line]
    assert len(missed) == 1
    assert missed[0].startswith("MobileNetV2 x0.1, 2 images, forward, tvconv: to_depthwise")
    table = pd.read_csv(tmp_path / "backbone.csv")
    assert len(table) == 8  # two networks, two formats, inference and a step
    assert table["milliseconds"].gt(0).all()
    assert set(table["variant"]) == {"tvconv", "depthwise", "tvconv NCHW", "depthwise NCHW"}
