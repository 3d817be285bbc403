import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvseg.errors import UserError
from tvseg.sweep.plan import data_stamp, read_plan

SWEEP = """
settings: {encoder_weights: none, train.epochs: 1}
variants:
  dense: {aspp: dense}
  ours: {aspp: tvconv}
holdouts: [A, D]
seeds: [0, 1]
grid: {train.learning_rate: [0.001, 0.01]}
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "Domain1").mkdir(parents=True)
    (tmp_path / "data" / "Domain1" / "x.png").write_bytes(b"x")
    return tmp_path / "data"


def write(folder: Path, text: str = SWEEP) -> Path:
    (folder / "sweep.yaml").write_text(text)
    return folder / "sweep.yaml"


def test_cells_are_variants_by_grid_by_centres_by_seeds(tmp_path: Path, data: Path) -> None:
    plan = read_plan(write(tmp_path), data=data)
    assert len(plan.cells) == 2 * 2 * 2 * 2
    assert [cell.seed for cell in plan.cells] == [0] * 8 + [1] * 8
    names = [cell.name for cell in plan.cells]
    assert names[0] == "dense-learning_rate0.001-holdout-A-seed0"
    assert len(set(names)) == 16
    assert len({cell.fingerprint for cell in plan.cells}) == 16
    assert "train.learning_rate=0.01" in plan.cells[2].overrides


def test_only_what_changes_has_a_new_fingerprint(tmp_path: Path, data: Path) -> None:
    before = read_plan(write(tmp_path), data=data).cells
    changed = write(tmp_path, SWEEP.replace("ours: {aspp: tvconv}", "ours: {aspp: depthwise}"))
    after = read_plan(changed, data=data).cells
    same = [a.fingerprint == b.fingerprint for a, b in zip(before, after, strict=True)]
    assert same == [cell.variant.startswith("dense") for cell in before]
    (data / "Domain1" / "y.png").write_bytes(b"y")
    third = read_plan(changed, data=data).cells
    assert all(a.fingerprint != b.fingerprint for a, b in zip(after, third, strict=True))


def test_hidden_files_are_no_data(data: Path) -> None:
    before = data_stamp(data)
    (data / ".cache").mkdir()
    (data / ".cache" / "z").write_bytes(b"z")
    assert data_stamp(data) == before
    (data / "Domain1" / "x.png").write_bytes(b"other")
    assert data_stamp(data) != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds: [0, 1]", "seeds: []"), "seeds: tuple should have at least 1"),
        (("variants:", "variant:"), "variant: extra inputs|variants: field required"),
        (("aspp: dense", "asp: dense"), "unknown key 'asp'"),
        (("holdouts: [A, D]", "holdouts: [A, Q]"), r"holdouts must name centres .* got Q"),
        (("holdouts: [A, D]", "holdouts: [A, A]"), "is there twice"),
    ],
)
def test_wrong_files_are_refused(
    change: tuple[str, str], message: str, tmp_path: Path, data: Path
) -> None:
    path = write(tmp_path, SWEEP.replace(*change))
    with pytest.raises(UserError, match=message):
        read_plan(path, data=data)


def test_data_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be an existing folder"):
        read_plan(write(tmp_path), data=tmp_path / "nowhere")
    with pytest.raises(UserError, match="must be an existing folder"):
        read_plan(write(tmp_path))


def test_a_dry_run_imports_neither_torch_nor_ray(tmp_path: Path, data: Path) -> None:
    code = (
        "import sys; from tvseg.cli import cli\n"
        "try: cli(sys.argv[1:])\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = {'torch', 'ray', 'pandas', 'scipy', 'monai'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    args = ["sweep", str(write(tmp_path)), "--data", str(data), "--dry-run", "--engine", "ray",
            "--out", str(tmp_path / "out")]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("new ") == 16
    assert "0 of 16 cells finished" in done.stdout
    assert not (tmp_path / "out").exists()
