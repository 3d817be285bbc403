"""A scored run with a localizer, as exports take it."""

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tvseg.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    from tvseg.runs.folder import RunFolder


@pytest.fixture(scope="session")
def scored_run(localised_run: "RunFolder", phantoms: "Path") -> "RunFolder":
    words = ["eval", str(localised_run.path), "--data", str(phantoms)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return localised_run
