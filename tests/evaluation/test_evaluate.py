import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tvseg.config import load_settings
from tvseg.data.folds import make_fold
from tvseg.evaluation.columns import COLUMNS
from tvseg.evaluation.evaluate import cases_by_centre, evaluate_run, find_runs, scored_cases
from tvseg.evaluation.protocols import PROTOCOLS
from tvseg.evaluation.records import read_cases
from tvseg.training.run_folder import RunFolder
from tvseg.training.train import train

SETTINGS = load_settings(
    None,
    ["aspp=dense", "encoder_weights=none", "image_size=64", "train.epochs=1",
     "train.steps_per_epoch=2", "train.images_per_centre=2"],
)  # fmt: skip


@pytest.fixture(scope="module")
def run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(SETTINGS, holdout="B", root=phantoms, runs=tmp_path_factory.mktemp("runs"))


def _evaluate(run: RunFolder, root: Path, protocol: str = "honest", **changes: str) -> pd.DataFrame:
    choices = {"images": "test", "checkpoint": "best", **changes}
    return evaluate_run(
        run,
        root=root,
        protocol=PROTOCOLS[protocol],
        device=torch.device("cpu"),
        known=set(),
        **choices,
    )


def test_rows_are_of_the_unseen_centre(run: RunFolder, phantoms: Path) -> None:
    table = _evaluate(run, phantoms)
    assert set(table["centre"]) == {"B"}
    assert set(table["split"]) == {"test"}
    assert table.groupby(["variant", "structure"]).size().tolist() == [2, 2, 2, 2]
    assert len(_evaluate(run, phantoms, images="all")) == 6 * 2 * 2
    written = read_cases(run.path / "eval" / "honest" / "cases.csv")
    assert list(written.columns) == list(table.columns) == list(COLUMNS)
    assert (run.path / "eval" / "honest-all" / "cases.csv").is_file()


def test_the_paper_scores_at_800_px(run: RunFolder, phantoms: Path) -> None:
    honest, paper = _evaluate(run, phantoms), _evaluate(run, phantoms, "paper")
    ratio = paper["true_area_px"] / honest["true_area_px"]
    assert ratio.to_numpy() == pytest.approx((800 / 96) ** 2, rel=0.02)


def test_other_data_are_refused(run: RunFolder, phantoms: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    path = next((root / "Domain2").rglob("test/ROIs/image/*.png"))
    Image.fromarray(np.array(Image.open(path)) // 2).save(path)
    with pytest.raises(ValueError, match="data must be those that the run was made with"):
        _evaluate(run, root)


def test_without_a_holdout_the_test_splits_count(phantoms: Path) -> None:
    fold = make_fold(cases_by_centre(phantoms, SETTINGS), "none")
    assert {case.split for case in scored_cases(fold, "test")} == {"test"}
    with pytest.raises(ValueError, match="trained on"):
        scored_cases(fold, "all")


def test_runs_are_found_and_damaged_ones_named(run: RunFolder, tmp_path: Path) -> None:
    assert find_runs([run.path]) == find_runs([run.path.parent]) == [run]
    runs = Path(shutil.copytree(run.path.parent, tmp_path / "runs"))
    info = runs / run.path.name / "run.json"
    for damaged in ("{", "[]", "{}", "null"):
        info.write_text(damaged)
        with pytest.raises(ValueError, match=r"run.json is damaged"):
            find_runs([runs])
    with pytest.raises(ValueError, match="does not exist"):
        find_runs([tmp_path / "none"])


def test_an_unfinished_run_is_not_scored(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(run.path, tmp_path / "runs" / "copy")))
    copy.write_info(finished=None)
    with pytest.raises(ValueError, match="is not finished"):
        find_runs([copy.path])
    with pytest.raises(ValueError, match="no finished run"):
        find_runs([tmp_path / "runs"])
