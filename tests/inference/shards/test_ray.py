import subprocess
import sys

import pytest

from tests.documents import PROJECT


@pytest.mark.slow
def test_killed_actors_and_drivers_leave_the_tables_of_one_process() -> None:
    script = PROJECT / "scripts" / "kill_predictions.py"
    done = subprocess.run(
        [sys.executable, str(script), "--count", "400"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "byte for byte: 400 photographs, each once" in done.stdout
