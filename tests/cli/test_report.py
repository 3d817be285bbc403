"""``tvseg report`` as a user calls it, on runs with scores that were written by hand."""

from pathlib import Path

import pytest

from tests.cli.test_cli import one_line, tvseg
from tests.evaluation.conftest import write_scored_run


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs below ./runs."""
    folder = tmp_path_factory.mktemp("workplace")
    for variant in ("dense", "tvconv"):
        write_scored_run(folder / "runs", variant, "A", 0)
    return folder


def test_a_report_of_all_runs_below_runs(workplace: Path) -> None:
    made = tvseg("report", "--out", "first", "--no-photographs", cwd=workplace)
    assert made.exit_code == 0, made.stderr
    assert made.stdout.split("\n")[:2] == ["2 runs", "first/report.html"]
    assert (workplace / "first" / "figures" / "scatter-dsc-tvconv-dense.pdf").is_file()


def test_what_cannot_be_reported_is_told_in_one_line(workplace: Path, tmp_path: Path) -> None:
    unscored = tvseg("report", "--out", tmp_path / "out", "--protocol", "paper", cwd=workplace)
    assert unscored.exit_code == 1
    assert "2 of 2 have no eval/paper/cases.csv" in one_line(unscored)
    command = "tvseg eval runs/dense-holdout-A-seed0 runs/tvconv-holdout-A-seed0 --protocol paper"
    assert one_line(unscored).endswith(command)
    lacking = tvseg("report", "--out", tmp_path / "out", cwd=workplace)
    assert lacking.exit_code == 1
    assert "no data" in one_line(lacking)
    assert "--no-photographs" in one_line(lacking)
    (tmp_path / "thesis.txt").write_text("mine")
    foreign = tvseg("report", "--out", tmp_path, "--no-photographs", cwd=workplace)
    assert foreign.exit_code == 1
    assert "must be new, empty, or hold an earlier report" in one_line(foreign)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_other_photographs_than_the_scored_are_refused(workplace: Path, phantoms: Path) -> None:
    made = tvseg("report", "--out", "other", "--data", phantoms, cwd=workplace)
    assert made.exit_code == 1
    assert "must be those that the run was made with, fingerprint f" in one_line(made)
    assert not (workplace / "other").exists()
