"""Runs of an older version load, predict and are scored to the same bytes."""

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
OLD = "b81c337"


@pytest.mark.slow
def test_old_runs_give_the_same_bytes(tmp_path: Path) -> None:
    known = subprocess.run(
        ["git", "-C", PROJECT, "cat-file", "-e", f"{OLD}^{{commit}}"],
        capture_output=True,
        check=False,
    )
    if known.returncode:
        pytest.skip(f"needs commit {OLD} of the history")
    done = subprocess.run(
        ["bash", PROJECT / "scripts" / "check_old_runs.sh", tmp_path / "keep"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "85 files compared: */masks/*.png" in done.stdout
