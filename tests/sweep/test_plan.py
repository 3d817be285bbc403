import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvseg.config import CONFIGS
from tvseg.errors import UserError
from tvseg.settings import POINTWISE_OPERATORS, SPATIAL_OPERATORS
from tvseg.sweep.cells import CellRecord, SweepFolder, commands_of
from tvseg.sweep.plan import read_plan
from tvseg.sweep.table import write_table

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


@pytest.mark.parametrize("key", ["init", "encoder_weights"])
def test_files_of_weights_are_known_by_content(key: str, tmp_path: Path, data: Path) -> None:
    weights = tmp_path / "weights.pt"
    path = write(tmp_path, SWEEP.replace("aspp: tvconv", f"aspp: tvconv, {key}: {weights}"))
    missing = read_plan(path, data=data).cells
    found = []
    for content in (b"one", b"two", b"one"):
        weights.write_bytes(content)
        found.append(read_plan(path, data=data).cells)
    for cell, one, two, again in zip(missing, *found, strict=True):
        names_it = cell.variant.startswith("ours")
        assert one.fingerprint == again.fingerprint
        assert (one.fingerprint != two.fingerprint) == names_it
        assert (one.fingerprint != cell.fingerprint) == names_it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds: [0, 1]", "seeds: []"), "seeds: tuple should have at least 1"),
        (("variants:", "variant:"), "unknown key 'variant'; known are task, data, .* ensembles"),
        (("aspp: dense", "aspp: dens"), "aspp must be one of dense, depthwise, .*, got 'dens'"),
        (("[0.001, 0.01]", "[]"), r"grid\.train\.learning_rate: tuple should have at least 1 item"),
        (("holdouts: [A, D]", "holdouts: [B+C, A, C+B]"), r"B\+C.* and C\+B hold out the same"),
        (("aspp: dense", "asp: dense"), "unknown key 'asp'"),
        (("holdouts: [A, D]", "holdouts: [A, Q]"), r"holdout must be a centre .* got 'Q'"),
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


FACES = """
task: faces
settings: {image_size: 32}
variants: {plain: {}, turned: {jitter.rotation: 30}}
grid: {operator: [depthwise, tvconv]}
"""


def test_operators_of_faces_are_known(tmp_path: Path, data: Path) -> None:
    path = write(tmp_path, FACES.replace("[depthwise, tvconv]", "[depthwise, dyconv_pw]"))
    with pytest.raises(UserError, match=r"operator must be one of depthwise, .*, got 'dyconv_pw'"):
        read_plan(path, data=data)


def test_names_of_operators_are_those_of_the_registry() -> None:
    from tvseg.models.spatial import POINTWISE, SPATIAL

    assert tuple(SPATIAL) == SPATIAL_OPERATORS
    assert tuple(POINTWISE) == POINTWISE_OPERATORS


def test_faces_have_no_centres(tmp_path: Path, data: Path) -> None:
    plan = read_plan(write(tmp_path, FACES), data=data)
    assert [cell.name for cell in plan.cells] == [
        "plain-operatordepthwise-seed0", "plain-operatortvconv-seed0",
        "turned-operatordepthwise-seed0", "turned-operatortvconv-seed0",
    ]  # fmt: skip
    folder = SweepFolder(tmp_path / "out")
    train, score = commands_of(plan, plan.cells[3], folder)
    assert train[3:5] == ["faces", "train"]
    assert "--holdout" not in train
    assert "jitter.rotation=30" in train
    assert score[3:6] == ["faces", "eval", str(folder.runs / "turned-operatortvconv-seed0")]


@pytest.mark.parametrize("name", ["task: faces\nholdouts: [A]", "task: segmentation"])
def test_centres_are_held_out_where_there_are_any(name: str, tmp_path: Path, data: Path) -> None:
    path = write(tmp_path, f"{name}\nvariants: {{plain: {{}}}}")
    with pytest.raises(UserError, match=r"holdouts.* must (be left out|name at least one centre)"):
        read_plan(path, data=data)


def test_scores_of_faces_are_tabled(tmp_path: Path, data: Path) -> None:
    plan = read_plan(write(tmp_path, FACES), data=data)
    folder = SweepFolder(tmp_path / "out")
    for cell in plan.cells[:2]:
        folder.write(cell, CellRecord(cell.fingerprint, "finished"))
    scores = folder.runs / plan.cells[1].name / "eval" / "honest" / "scores.json"
    scores.parent.mkdir(parents=True)
    scores.write_text('{"scores": [{"set": "lfw", "accuracy": 81.25}]}')
    table = write_table(plan, folder)
    assert table.columns == ["protocol", "set", "variant", "accuracy"]
    cells = [[cell.text for cell in row] for row in table.rows]
    assert cells[:2] == [
        ["honest", "lfw", "plain-operatordepthwise", "missing"],
        ["honest", "lfw", "plain-operatortvconv", "81.25"],
    ]


def test_sweeps_of_faces_are_sound(data: Path) -> None:
    files = sorted((CONFIGS / "faces").rglob("*.yaml"))
    sweeps = [path for path in files if "task: faces" in path.read_text()]
    assert len(sweeps) >= 7
    assert all(read_plan(path, data=data).cells for path in sweeps)


@pytest.mark.parametrize(
    "name", ["table2", "table2-cpu", "cross", "default-cpu", "recipes-default"]
)
def test_shipped_sweeps_are_sound(name: str, data: Path) -> None:
    plan = read_plan(CONFIGS / f"{name}.yaml", data=data)
    assert len({cell.fingerprint for cell in plan.cells}) == len(plan.cells)
