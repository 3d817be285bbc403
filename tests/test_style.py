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
        ("tvseg/data/tools.py", ""),
        ("tvseg/data/long.py", "x = 1\n" * 301),
        ("tvseg/data/long.py", "def f():\n" + "    x = 1\n" * 51),
    ],
)
def test_complaints(path: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_style, "ROOT", tmp_path)
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert len(list(check_style.complaints(tmp_path / path))) >= 1


def _package(folder: Path, texts: dict[str, str]) -> list[str]:
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return list(check_style.package_complaints((folder / "tvseg").rglob("*.py")))


def test_a_class_name_is_defined_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_style, "ROOT", tmp_path)
    one = {"tvseg/a.py": "class Leaf: ...\nclass _Own: ...", "tvseg/b.py": "class _Own: ..."}
    assert _package(tmp_path, one) == []
    (complaint,) = _package(tmp_path, {"tvseg/c/d.py": "class Leaf: ..."})
    assert "class Leaf is defined in" in complaint


def test_a_folder_has_four_floors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_style, "ROOT", tmp_path)
    chain = {f"tvseg/x/m{n}.py": f"from tvseg.x.m{n + 1} import f" for n in range(3)}
    chain |= {"tvseg/x/m3.py": "from tvseg.x import y", "tvseg/x/y/z.py": ""}
    assert _package(tmp_path, chain) == []
    (complaint,) = _package(tmp_path, {"tvseg/x/m3.py": "import tvseg.x.m4", "tvseg/x/m4.py": ""})
    assert "5 floors of imports" in complaint
    (circle,) = _package(tmp_path, {"tvseg/x/m4.py": "from tvseg.x import m0"})
    assert "in a circle" in circle


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
