"""Trainings of full width that are killed at random moments."""

from pathlib import Path

import pytest

from tests.training.resumed import WAYS, check_same, kill_and_resume, settings_of, train_run
from tvseg.runs.folder import RunFolder


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> list[str]:
    return WAYS[request.param]


@pytest.fixture(scope="module")
def whole(way: list[str], phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train_run(settings_of(*way), phantoms, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_processes_killed_at_random_resume_bit_for_bit(
    seed: int, way: list[str], whole: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    check_same(whole, kill_and_resume(way, phantoms, tmp_path / "runs", seed))
