import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.conftest import IMAGES, write_scored_run
from tvseg.errors import UserError
from tvseg.evaluation.report.groups import caption, gather
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.runs.folder import RunFolder

HONEST = Scoring(PROTOCOLS["honest"], images="test", checkpoint="best")


def test_rows_of_all_runs_and_the_mean_mask_once(scored_runs: list[RunFolder]) -> None:
    (group,) = gather(scored_runs, HONEST)
    counts = group.cases.groupby("variant").size().to_dict()
    a_run = 2 * IMAGES
    both, one = 4 * a_run, 2 * a_run
    assert counts == {"dense": both, "depthwise": both, "tvconv": one, "mean mask": 2 * a_run}
    assert group.variants == ["mean mask", "dense", "depthwise", "tvconv"]
    assert group.networks == ["dense", "depthwise", "tvconv"]
    assert group.centres == ["A", "B"]


def test_runs_without_these_scores_get_the_command_that_makes_them(
    scored_runs: list[RunFolder], tmp_path: Path
) -> None:
    run = write_scored_run(tmp_path, "dense", "A", 7)
    scoring = Scoring(PROTOCOLS["paper"].on_grid("native"), images="all", checkpoint="last")
    with pytest.raises(ValueError, match="2 of 2 have no") as error:
        gather([scored_runs[0], run], scoring)
    command = (
        f"tvseg eval {scored_runs[0].path} {run.path} --protocol paper --size native "
        "--images all --checkpoint last"
    )
    assert str(error.value).endswith(command)


def test_scores_of_another_form_are_refused(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, "dense", "A", 0)
    path = HONEST.folder(run) / "cases.csv"
    pd.read_csv(path).drop(columns="surface_dice_5").to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"lacks surface_dice_5.*here: tvseg eval"):
        gather([run], HONEST)
    path.write_text("")
    with pytest.raises(ValueError, match=r"cases.csv must be a CSV file.*tvseg eval"):
        gather([run], HONEST)


def test_settings_that_change_no_result_do_not_part_runs(tmp_path: Path) -> None:
    runs = [
        write_scored_run(tmp_path, "dense", "A", 0),
        write_scored_run(tmp_path, "dense", "A", 1, "train.workers=2"),
        write_scored_run(tmp_path, "dense", "A", 2, "tracking=mlflow"),
    ]
    (group,) = gather(runs, HONEST)
    assert len(group.runs) == 3


def test_groups_are_named_by_what_sets_them_apart(tmp_path: Path) -> None:
    runs = [
        write_scored_run(tmp_path / "0", "dense", "A", 0),
        write_scored_run(tmp_path / "1", "dense", "A", 0, "train.epochs=3"),
        write_scored_run(tmp_path / "1", "tvconv", "A", 0, "train.epochs=3"),
    ]
    groups = gather(runs, HONEST)
    assert [group.title for group in groups] == ["train.epochs 40", "train.epochs 3"]
    assert [len(group.runs) for group in groups] == [1, 2]
    assert set(groups[0].cases["variant"]) == {"dense", "mean mask"}


def test_names_that_look_like_numbers_stay_names(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, "dense", "A", 0)
    path = HONEST.folder(run) / "cases.csv"
    rows = pd.read_csv(path)
    rows["case"] = [f"00{number}" for number in rows.index]
    rows.to_csv(path, index=False)
    (group,) = gather([run], HONEST)
    assert group.cases["case"].iloc[0] == "000"


def test_runs_of_one_place_are_refused(scored_runs: list[RunFolder], tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(scored_runs[0].path, tmp_path / "copy")))
    with pytest.raises(ValueError, match="must differ in name, holdout or seed"):
        gather([scored_runs[0], copy], HONEST)


@pytest.mark.parametrize(
    ("column", "name"), [("variant", "tvconv"), ("centre", "Z"), ("structure", "[/b]")]
)
def test_rows_of_another_run_are_refused(column: str, name: str, tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, "dense", "A", 0)
    path = HONEST.folder(run) / "cases.csv"
    rows = pd.read_csv(path)
    rows.loc[3, column] = name
    rows.to_csv(path, index=False)
    with pytest.raises(UserError) as error:
        gather([run], HONEST)
    assert f"{column} must be one of" in str(error.value)
    assert name in str(error.value)


def test_a_renamed_run_keeps_its_scores(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, "dense", "A", 0)
    (group,) = gather([RunFolder(run.path.rename(tmp_path / "mine"))], HONEST)
    assert set(group.cases["run"]) == {"mine"}


def test_captions_say_which_structures_keep_their_pieces(tmp_path: Path) -> None:
    plain, scattered = (
        write_scored_run(tmp_path / name, "dense", "A", 0, *overrides)
        for name, overrides in (("0", []), ("1", ["scattered=[cup]"]))
    )
    assert "largest component, holes filled, inner" in caption([plain], HONEST)
    assert "largest component, holes filled (not of cup), inner" in caption([scattered], HONEST)
