from pathlib import Path

import pandas as pd
import pytest

from tvseg.config import dump_settings, load_settings
from tvseg.errors import UserError
from tvseg.evaluation.report.build import warnings
from tvseg.evaluation.report.groups import Group, group_runs
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.files import write_json
from tvseg.runs.folder import RunFolder


def _run(
    folder: Path,
    *overrides: str,
    holdout: str = "A",
    fingerprint: str = "f",
    precision: str | None = None,
) -> RunFolder:
    folder.mkdir()
    (folder / "config.yaml").write_text(dump_settings(load_settings(None, overrides)))
    run = RunFolder(folder)
    info: dict[str, object] = {
        "holdout": holdout,
        "seed": 0,
        "fingerprint": fingerprint,
        "chosen": "",
    }
    write_json(folder / "run.json", info | ({"precision": precision} if precision else {}))
    return run


def test_runs_of_other_settings_or_data_stay_apart(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path / "0", "aspp=dense"),
        _run(tmp_path / "1", "aspp=tvconv", "seed=4", "data=/elsewhere"),
        _run(tmp_path / "2", "aspp=tvconv", "train.epochs=3"),
        _run(tmp_path / "3", "aspp=dense", fingerprint="g"),
        _run(tmp_path / "4", "aspp=dense", holdout="none"),
        _run(tmp_path / "5", "aspp=dense", holdout="B"),
        _run(tmp_path / "6", "aspp=depthwise", "train.log_affinity=true"),
    ]
    groups = [[run.path.name for run in group] for group in group_runs(runs)]
    assert groups == [["0", "1", "5", "6"], ["2"], ["3"], ["4"]]


def test_variants_may_keep_other_averages_and_the_report_says_so(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path / "0", "aspp=dense"),
        _run(tmp_path / "1"),
        _run(tmp_path / "2", "name=latest", "train.average=none"),
    ]
    assert len(group_runs(runs)) == 1
    variants = ["dense", "tvconv", "latest"]
    flags = {"seed": 0, "missed": False, "spurious": False}
    cases = pd.DataFrame({"variant": variants, "centre": "A"} | flags)
    group = Group("All runs", runs, cases, Scoring(PROTOCOLS["honest"]))
    assert "train.average, too (dense none, tvconv wise, latest none)" in warnings(group)[0]
    alike = Group("All runs", runs[::2], cases[::2], Scoring(PROTOCOLS["honest"]))
    assert not any("average" in text for text in warnings(alike))
    twice = [*runs, _run(tmp_path / "3", "name=latest", "seed=1")]
    with pytest.raises(ValueError, match=r"one variant .* train.average=wise, another"):
        group_runs(twice)


def test_another_training_of_the_name_is_told_apart_by_its_keys(tmp_path: Path) -> None:
    run = _run(tmp_path / "0", "train.average=none", "train.epochs=2")
    run.check_free(load_settings(None, ["train.average=none", "train.epochs=2"]), resume=True)
    with pytest.raises(UserError, match=r"other settings \(train.epochs=2, train.average=none\)"):
        run.check_free(load_settings(None, []), resume=True)


def test_two_runs_for_one_place_in_the_table_are_refused(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "0", "aspp=dense"), _run(tmp_path / "1", "name=dense", "aspp=dense")]
    with pytest.raises(ValueError, match="must differ in name, holdout or seed"):
        group_runs(runs)


def test_one_column_holds_one_variant(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path / "0", "name=x", "aspp=dense"),
        _run(tmp_path / "1", "name=x", "aspp=tvconv", "seed=1"),
    ]
    with pytest.raises(ValueError, match="runs named x must be of one variant"):
        group_runs(runs)


def test_the_precision_that_was_used_parts_runs(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path / "0", "aspp=dense", precision="float32"),
        _run(tmp_path / "1", "aspp=dense", "seed=1", precision="bfloat16"),
        _run(tmp_path / "2", "aspp=dense", "seed=2", "precision=fp32", precision="float32"),
        _run(tmp_path / "3", "aspp=dense", "precision=bf16"),  # an older run: only the setting
    ]
    groups = [[run.path.name for run in group] for group in group_runs(runs)]
    assert groups == [["0", "2"], ["1"], ["3"]]


def test_runs_of_several_targets_stay_apart(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path / "0", "aspp=dense", holdout="A"),
        _run(tmp_path / "1", "aspp=dense", holdout="B"),
        _run(tmp_path / "2", "aspp=dense", holdout="A+B"),
        _run(tmp_path / "3", "aspp=tvconv", holdout="A+B"),
        _run(tmp_path / "4", "aspp=dense", holdout="B+C"),
    ]
    groups = [[run.path.name for run in group] for group in group_runs(runs)]
    assert groups == [["0", "1"], ["2", "3"], ["4"]]
    apart = [[run.path.name for run in group] for group in group_runs(runs, by_holdout=True)]
    assert apart == [["0"], ["1"], ["2", "3"], ["4"]]
