import shutil
from pathlib import Path

from click.testing import CliRunner

from tvseg.cli import cli


def test_portraits_are_drawn_and_checked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    args = ["faces", "synth", str(root), "--people", "2", "--pictures", "2", "--unseen", "20"]
    done = CliRunner().invoke(cli, args)
    assert done.exit_code == 0, done.output
    checked = CliRunner().invoke(cli, ["faces", "check", str(root)])
    assert checked.exit_code == 0
    assert "train: 4 pictures of 2 people, 2 to 2 each; px: 96 x 96 (4)" in checked.output
    assert "Problems: 0, warnings: 0" in checked.output

    shutil.copytree(root / "eval" / "p00030", root / "train" / "p00030")
    leaking = CliRunner().invoke(cli, ["faces", "check", str(root)])
    assert leaking.exit_code == 1
    assert "Problem: pairs_test: people who are in the training set, too: 1" in leaking.output

    again = CliRunner().invoke(cli, args)
    assert again.exit_code == 1
    assert "must be a new folder" in again.output
