"""How the threads of a command wait."""

import os

import pytest
from click.testing import CliRunner

from tvseg.cli import cli


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_unless_the_user_says_otherwise(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # restored after the test
    os.environ.pop("OMP_WAIT_POLICY")
    if before is not None:
        os.environ["OMP_WAIT_POLICY"] = before
    assert CliRunner().invoke(cli, ["bench", "--help"]).exit_code == 0
    assert os.environ["OMP_WAIT_POLICY"] == after
