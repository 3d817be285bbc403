"""The command line as a user calls it; tests/test_wheel.py calls it in processes of their own."""

import contextlib
import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tvseg.cli import cli

TINY = ["encoder_weights=none", "image_size=64", "train.epochs=1", "train.steps_per_epoch=2",
        "train.images_per_centre=2"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


def tvseg(*arguments: object, cwd: Path, data: str = "") -> Result:
    environment = {"TVSEG_DATA": data, "COLUMNS": "140"}
    with contextlib.chdir(cwd):
        return CliRunner().invoke(
            cli, [*map(str, arguments)], env=environment, prog_name="tvseg", catch_exceptions=False
        )


def one_line(result: Result) -> str:
    """Return the last line of an error, the only one that is not usage or progress."""
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with phantoms, and two finished runs of one fold."""
    folder = tmp_path_factory.mktemp("workplace")
    made = tvseg("data", "synth", "phantoms", "--per-centre", 3, "--size", 96, cwd=folder)
    assert made.exit_code == 0, made.stderr
    for variant in ("dense", "tvconv"):
        trained = tvseg(
            "train", "--holdout", "A", "--data", "phantoms", f"aspp={variant}", *TINY, cwd=folder
        )
        assert trained.exit_code == 0, trained.stderr
        assert f"runs/{variant}-holdout-A-seed0" in trained.stdout
    return folder


def test_check_counts_what_synth_drew(workplace: Path) -> None:
    checked = tvseg("data", "check", "phantoms", cwd=workplace)
    assert checked.exit_code == 0
    assert "No problems" in checked.stdout
    assert "96 - 96" in checked.stdout


def test_eval_prints_the_table_of_its_rows(workplace: Path) -> None:
    scored = tvseg("eval", "--data", "phantoms", cwd=workplace)
    assert scored.exit_code == 0, scored.stderr
    header = next(line for line in scored.stdout.splitlines() if "Metric" in line)
    assert [word for word in ("mean mask", "dense", "tvconv") if word in header] == [
        "mean mask",
        "dense",
        "tvconv",
    ]
    folder = workplace / "runs" / "dense-holdout-A-seed0" / "eval" / "honest"
    cases = pd.read_csv(folder / "cases.csv")
    assert set(cases["centre"]) == {"A"}
    assert len(cases) == 1 * 2 * 2  # one test image, two structures, network and mean mask
    shown = 100 * cases.query("variant == 'mean mask' and structure == 'disc'")["dice"].mean()
    line = next(line for line in scored.stdout.splitlines() if " OD " in line)
    assert f"{shown:.2f}" in line
    assert "selected on sources" in (folder / "table.md").read_text()


def test_other_choices_are_kept_apart(workplace: Path) -> None:
    run = "runs/dense-holdout-A-seed0"
    scored = tvseg("eval", run, "--data", "phantoms", "--protocol", "paper", "--images", "all",
                   "--checkpoint", "last", "--size", "native", "--shifts", "0,10",
                   cwd=workplace)  # fmt: skip
    assert scored.exit_code == 0, scored.stderr
    folder = workplace / run / "eval" / "paper-native-all-last"
    assert len(pd.read_csv(folder / "cases.csv")) == 3 * 2 * 2
    shifts = pd.read_csv(folder / "shifts.csv")
    assert len(shifts) == 3 * 2 * 2 * 2
    mine = shifts.query("variant == 'mean mask' and structure == 'disc' and shift == 0.1")
    assert f"{100 * mine['dice'].mean():.2f}" in scored.stdout
    assert "protocol paper: threshold 0.75" in scored.stdout
    assert "checkpoint last epoch (kept as trained" in scored.stdout


def test_predict_leaves_pictures_and_measurements(workplace: Path) -> None:
    images = workplace / "phantoms" / "Domain1" / "train" / "ROIs" / "image"
    done = tvseg(
        "predict",
        images,
        "--model",
        "runs/tvconv-holdout-A-seed0",
        "--out",
        "predicted",
        cwd=workplace,
    )
    assert done.exit_code == 0, done.stderr
    with (workplace / "predicted" / "measurements.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for row in rows:
        overlay = Image.open(workplace / "predicted" / "overlays" / f"{row['id']}.png")
        assert overlay.size == (96, 96)


def test_a_bad_picture_gives_exit_code_3(workplace: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = tvseg(
        "predict",
        tmp_path,
        "--model",
        "runs/dense-holdout-A-seed0",
        "--out",
        tmp_path / "o",
        cwd=workplace,
    )
    assert done.exit_code == 3
    assert "Predicted 1 of 2" in done.stdout
    assert "bad.png: cannot be read" in done.stderr


TRAIN_A = ["train", "--holdout", "A"]
FIELD = "phantoms/FullField/image"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "--holdout", "Q", "--data", "phantoms"], 2, ["holdout must", "A, B, C", "'Q'"]),
        ([*TRAIN_A, "--data", "phantoms", "train.epoch=3"], 2, ["train.epoch", "train.epochs"]),
        ([*TRAIN_A, "--data", "nowhere"], 1, ["nowhere does not exist", "tvseg data synth"]),
        (TRAIN_A, 1, ["--data", "$TVSEG_DATA", "tvseg data synth"]),
        (["eval", "nowhere"], 1, ["nowhere does not exist"]),
        (["eval", "phantoms"], 1, ["no finished run", "tvseg train"]),
        (["predict", "phantoms", "--model", "x", "--out", "x"], 1, ["phantoms holds no pictures"]),
        (["predict", FIELD, "--model", "phantoms", "--out", "x"], 1, ["must be a run folder"]),
        (["predict", FIELD, "--model", f"{FIELD}/A-phantom-0000.png", "--out", "x"], 1,
         ["is damaged or no .safetensors file"]),
        (["data", "synth", "phantoms"], 1, ["phantoms"]),
        (["data", "synth", "x", "--per-centre", "1"], 2, ["--per-centre"]),
        (["data", "synth", "x", "--size", "1000000000"], 2, ["--size", "64<=x<=4096"]),
        (["data", "synth", "x", "--seed", "99999999999999999999"], 2, ["--seed"]),
        (["predict", FIELD, "--model", "x", "--out", "x", "--um-per-px", "nan"], 2,
         ["--um-per-px", "nan is not a finite number"]),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_clear_line(
    workplace: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    tail = TINY if arguments[0] == "train" else []
    result = tvseg(*arguments, *tail, cwd=workplace)
    assert result.exit_code == code, result.stderr
    line = one_line(result)
    assert all(word in line for word in words), line
    assert not (workplace / "x").exists()


def test_a_strange_mask_value_stops_training(workplace: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(workplace / "phantoms", tmp_path / "root"))
    path = next((root / "Domain2" / "train" / "ROIs" / "mask").iterdir())
    labels = np.array(Image.open(path))
    labels[0, 0] = 77
    Image.fromarray(labels).save(path)
    result = tvseg("train", "--holdout", "A", "--data", root, *TINY, cwd=tmp_path)
    assert result.exit_code == 1
    assert f"{path}: mask values must be" in one_line(result)
    assert "found 77 (1 px)" in one_line(result)
    assert not (tmp_path / "runs").exists()


def test_an_empty_centre_stops_training(workplace: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(workplace / "phantoms", tmp_path / "root"))
    shutil.rmtree(root / "Domain2" / "train" / "ROIs")
    result = tvseg("train", "--holdout", "A", "--data", root, *TINY, cwd=tmp_path)
    assert result.exit_code == 1
    assert "centre B (RIM-ONE r3) has no train photographs" in one_line(result)


def test_a_fifth_centre_takes_a_few_lines(workplace: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(workplace / "phantoms", tmp_path / "root"))
    (root / "Domain4").rename(root / "mine")
    for path in (root / "mine").rglob("mask/*.png"):
        labels = np.array(Image.open(path))
        Image.fromarray(np.select([labels == 0, labels == 128], [2, 1], 0).astype(np.uint8)).save(
            path
        )
    config = tmp_path / "centres.yaml"
    config.write_text(
        "centres:\n"
        "  A: {name: first, folder: Domain1}\n"
        "  E: {name: mine, folder: mine, encoding: {2: [cup, disc], 1: [disc], 0: []}}\n"
    )
    trained = tvseg(
        "train",
        "--holdout",
        "E",
        "--data",
        root,
        "--config",
        config,
        *TINY,
        "aspp=dense",
        cwd=tmp_path,
    )
    assert trained.exit_code == 0, trained.stderr
    scored = tvseg("eval", "--data", root, cwd=tmp_path)
    assert scored.exit_code == 0, scored.stderr
    assert " E " in scored.stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['tvseg', '--help']\n"
        "from tvseg.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'monai', 'pandas', 'pydantic', 'albumentations'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "loaded: []" in result.stdout
    assert "predict" in result.stdout
