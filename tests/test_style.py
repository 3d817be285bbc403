import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("check_style", ROOT / "scripts" / "check_style.py")
assert spec is not None
assert spec.loader is not None
check_style = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_style)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tvseg/config.py", "from tvseg.training import fit"),
        ("tvseg/config.py", "from tvseg import training"),
        ("tvseg/config.py", "from . import train"),
        ("tvseg/settings.py", "import tvseg.ops"),
        ("tvseg/data/cases.py", "def f():\n    import tvseg.models.aspp"),
        ("tvseg/ops/reference.py", "from tvseg.files import write_text"),
        ("tvseg/metrics/surface.py", "from tvseg.evaluation.tables.table import layout"),
        ("tvseg/training/fit.py", "from tvseg.inference import pipeline"),
        ("tvseg/data/utils.py", ""),
        ("tvseg/data/long.py", "x = 1\n" * 301),
        ("tvseg/data/long.py", "def f():\n" + "    x = 1\n" * 51),
    ],
)
def test_complaints(path: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_style, "ROOT", tmp_path)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert len(list(check_style.complaints(tmp_path / path))) >= 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tvseg/training/train.py", "from tvseg.data import cases"),
        ("tvseg/metrics/segmentation.py", "from tvseg.metrics.surface import hd"),
        ("tvseg/ops/tv_conv.py", "from tvseg.ops.checks import check_call"),
    ],
)
def test_no_complaints(
    path: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_style, "ROOT", tmp_path)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert list(check_style.complaints(tmp_path / path)) == []
