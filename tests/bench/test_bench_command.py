"""`tvseg bench` as a user calls it, on tiny shapes."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

from tvseg.bench import forms, operator, targets, timing
from tvseg.bench.forms import FORMS, Shape
from tvseg.bench.measurement import FORWARD
from tvseg.bench.targets import Target
from tvseg.cli import cli

TINY = Shape("tiny", 2, 5, 6, 4)


@pytest.fixture(autouse=True)
def tiny_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "ASPP", (TINY,))
    monkeypatch.setattr(operator, "MOBILENET", ())
    sweep = tuple(Shape("batch", batch, 3, 4, 4) for batch in (1, 2))
    monkeypatch.setattr(operator, "SWEEPS", {"batch": sweep})
    monkeypatch.setattr(timing, "_STREAM_ELEMENTS", 1 << 16)
    monkeypatch.setattr(timing, "_PRODUCT_SIDE", 64)


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["bench", *map(str, arguments), "--rounds", "1"])


def test_operator_prints_a_table_and_writes_csv_and_roofline(tmp_path: Path) -> None:
    result = bench("operator", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "GB/s" in result.stdout
    assert "tiny, batch 2, forward + backward (5 x 6 x 4)" in result.stdout
    table = pd.read_csv(tmp_path / "operator.csv")
    assert set(table["variant"]) == set(FORMS)
    assert table["milliseconds"].gt(0).all()
    with Image.open(tmp_path / "roofline.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > len(FORMS)


def test_sizes_are_swept(tmp_path: Path) -> None:
    result = bench("operator", "--sizes", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "sizes.csv")
    assert set(table["batch"]) == {1, 2}
    with Image.open(tmp_path / "sizes.png") as picture:
        assert picture.width > 400


@pytest.mark.parametrize("bound", [1e-3, 1e9])
def test_check_exits_1_below_a_target(bound: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "TARGETS", (Target("tiny", 2, FORWARD, "speedup", bound),))
    assert bench("operator").exit_code == 0
    checked = bench("operator", "--check")
    assert checked.exit_code == (bound > 1)
    assert ("speedup must be" in checked.stderr) == (bound > 1)


def test_a_refused_form_has_no_time_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = FORMS["compiled"]

    def wrong(x: Tensor, weight: Tensor, stride: int) -> Tensor:
        return 2 * form.compute(x, weight, stride)

    monkeypatch.setitem(forms.FORMS, "compiled", replace(form, compute=wrong))
    result = bench("operator")
    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if "compiled" in line)
    assert "refused" in line
    assert "compiled differs from the plain torch form" in result.stderr
