import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tvseg.errors import UserError
from tvseg.files import write_json
from tvseg.runs.folder import RunFolder
from tvseg.sweep import cells, engines
from tvseg.sweep.cells import SweepFolder, check_free, run_cell
from tvseg.sweep.engines import Resources
from tvseg.sweep.plan import SweepCell, SweepFile, SweepPlan
from tvseg.sweep.processes import why_it_failed
from tvseg.sweep.progress import progress_of, words
from tvseg.sweep.table import write_table


def plan_of(*variants: str, seeds: Sequence[int] = (0,)) -> SweepPlan:
    file = SweepFile(variants={name: {} for name in variants}, holdouts=("A",), seeds=tuple(seeds))
    every = [
        SweepCell(name, "A", seed, (), (), f"{name}-{seed}-print")
        for seed in seeds
        for name in variants
    ]
    return SweepPlan(file, Path("data"), tuple(every), {})


def use_script(monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Let cells run Python code by their variant instead of a training."""

    def commands(plan: SweepPlan, cell: SweepCell, folder: SweepFolder) -> list[list[str]]:
        code = f"folder = {str(folder.path)!r}; name = {cell.name!r}\n{scripts[cell.variant]}"
        return [[sys.executable, "-c", code]]

    monkeypatch.setattr(cells, "commands_of", commands)


SCORE = """
import json, pathlib
out = pathlib.Path(folder, "runs", name, "eval", "honest")
out.mkdir(parents=True)
row = {"metric": "dice", "structure": "cup", "centre": "A", "variant": "x", "mean": 80.5}
(out / "summary.json").write_text(json.dumps({"scores": [row]}))
"""


def score(folder: SweepFolder, cell: SweepCell, name: str = "honest", **about: str) -> None:
    row = {"metric": "dice", "structure": "cup", "centre": "A", "variant": "x", "mean": 80.5}
    scored = folder.runs / cell.name / "eval" / name
    write_json(scored / "summary.json", {"scores": [row]} | about)


def test_a_cell_is_run_and_its_log_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_script(monkeypatch, good="print('hello from the cell')")
    plan, folder = plan_of("good"), SweepFolder(tmp_path / "sweep")
    (cell,) = plan.cells
    assert folder.state(cell) == "new"
    record = run_cell(plan, cell, folder)
    assert (record.state, record.attempts, record.reason) == ("finished", 1, "")
    assert folder.state(cell) == "finished"
    assert "hello from the cell" in folder.log(cell).read_text()


def test_a_poisoned_cell_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_script(
        monkeypatch, good=SCORE,
        bad="import sys; sys.exit('Error: train.lr: must be larger')",
    )  # fmt: skip
    plan, folder = plan_of("bad", "good"), SweepFolder(tmp_path)
    done = dict(engines.local(plan, plan.cells, folder, Resources(jobs=2)))
    states = {cell.variant: record.state for cell, record in done.items()}
    assert states == {"good": "finished", "bad": "failed"}
    write_table(plan, folder)
    text = (tmp_path / "sweep.md").read_text()
    assert "80.50" in text
    assert "missing" in text
    assert "bad-holdout-A-seed0 failed: exit code 1: Error: train.lr: must be larger" in text
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert [cell["state"] for cell in content["cells"]] == ["failed", "finished"]


def test_a_killed_cell_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = (
        "import os, pathlib, signal\n"
        "mark = pathlib.Path(folder, 'mark')\n"
        "if not mark.exists():\n"
        "    mark.touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    use_script(monkeypatch, once=once, always="import os; os.kill(os.getpid(), 9)")
    plan, folder = plan_of("once", "always"), SweepFolder(tmp_path)
    first, second = (run_cell(plan, cell, folder) for cell in plan.cells)
    assert (first.state, first.attempts) == ("finished", 2)
    assert (second.state, second.attempts) == ("failed", 1 + cells.RETRIES)
    assert second.reason.startswith("killed (SIGKILL)")


@pytest.mark.parametrize(
    ("code", "said", "reason", "again"),
    [
        (-9, "", "killed", True),
        (137, "", "killed", True),
        (-15, "", "ended by SIGTERM", True),
        (4, "Error: stopped by SIGTERM after step 3 of 6", "stopped by SIGTERM", True),
        (1, "torch.OutOfMemoryError: CUDA out of memory. Tried", "out of memory", False),
        (1, "x\nMemoryError\n", "out of memory", False),
        (1, "Error: the loss must stay finite, got nan", "diverged", False),
        (2, "Error: unknown key 'x'", "exit code 2: Error: unknown key 'x'", False),
    ],
)
def test_reasons_are_told_apart(code: int, said: str, reason: str, again: bool) -> None:
    found, retry = why_it_failed(code, said)
    assert found.startswith(reason)
    assert retry is again


def test_a_changed_cell_moves_the_old_run_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_script(monkeypatch, good=SCORE)
    plan, folder = plan_of("good"), SweepFolder(tmp_path)
    (cell,) = plan.cells
    run_cell(plan, cell, folder)
    changed = SweepCell(cell.variant, "A", 0, (), (), "another print")
    assert folder.state(changed) == "new"
    run_cell(plan, changed, folder)
    assert folder.state(changed) == "finished"
    assert (folder.runs / cell.name).is_dir()
    assert len(list((tmp_path / "old").iterdir())) == 1


@pytest.mark.parametrize(
    "damage",
    ["[" * 100_000, "[]", '{"state": []}', '{"seconds": "abc"}', '{"seconds": null}',
     '{"attempts": null}', '{"reason": null}', '{"state": "done"}'],
)  # fmt: skip
def test_a_damaged_record_is_none(damage: str, tmp_path: Path) -> None:
    plan, folder = plan_of("good"), SweepFolder(tmp_path)
    (cell,) = plan.cells
    folder.write(cell, cells.CellRecord(cell.fingerprint, "finished", 1.0, 1))
    assert folder.state(cell) == "finished"
    file = tmp_path / "cells" / f"{cell.name}.json"
    if damage.startswith("{"):
        damage = json.dumps(json.loads(file.read_text()) | json.loads(damage))
    file.write_text(damage)
    assert folder.record(cell) is None


def test_a_run_that_is_being_trained_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_script(monkeypatch, good=SCORE)
    plan, folder = plan_of("good"), SweepFolder(tmp_path)
    (cell,) = plan.cells
    folder.write(cell, cells.CellRecord(cell.fingerprint, "begun", 1.0, 1))
    changed = SweepCell(cell.variant, "A", 0, (), (), "another print")
    run = folder.runs / cell.name
    with RunFolder(run).lock():
        records = [run_cell(plan, one, folder) for one in (changed, cell)]
    assert [(record.state, record.attempts) for record in records] == [("begun", 0), ("begun", 1)]
    for record in records:
        assert record.reason == (
            f"{run} must be free, another training writes it: sweep again after its end"
        )
    assert folder.state(cell) == "begun"
    assert not (tmp_path / "old").exists()
    assert not folder.log(cell).exists()
    assert run_cell(plan, changed, folder).state == "finished"
    assert len(list((tmp_path / "old").iterdir())) == 1


def test_time_left_comes_from_finished_cells(tmp_path: Path) -> None:
    plan, folder = plan_of("slow", "fast", seeds=(0, 1)), SweepFolder(tmp_path)
    for cell in plan.cells:
        score(folder, cell)
    assert progress_of(plan, folder).seconds_left is None
    for cell, seconds in zip(plan.cells[:2], (100.0, 10.0), strict=True):
        folder.write(cell, cells.CellRecord(cell.fingerprint, "finished", seconds, 1))
    assert progress_of(plan, folder).seconds_left == 110
    assert progress_of(plan, folder, jobs=2).seconds_left == 55
    assert str(progress_of(plan, folder)) == "2 of 4 cells finished, about 2 min left"
    assert words(12_100) == "3 h 22 min"
    for cell in plan.cells[2:]:
        folder.write(cell, cells.CellRecord(cell.fingerprint, "finished", 1.0, 1))
    assert str(progress_of(plan, folder)) == "4 of 4 cells finished"
    shutil.rmtree(folder.runs / plan.cells[0].name)
    assert str(progress_of(plan, folder)) == "3 of 4 cells finished"  # no training is left


def test_cells_die_with_their_driver(tmp_path: Path) -> None:
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from tvseg.sweep.processes import Processes\n"
        "script = 'import os, pathlib, time; pathlib.Path(%r).write_text(str(os.getpid()));'\\\n"
        "' time.sleep(60)'\n"
        "command = [sys.executable, '-c', script % sys.argv[1]]\n"
        "with Path(sys.argv[2]).open('ab') as log:\n"
        "    Processes().run(command, output=log, environment={})"
    )
    pid_file = tmp_path / "pid"
    driver = subprocess.Popen(
        [sys.executable, "-c", code, str(pid_file), str(tmp_path / "log")], env=os.environ
    )
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(pid_file.read_text())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]:
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="must be a new folder or one of a sweep"):
        check_free(SweepFolder(tmp_path))


def test_a_sweep_that_ended_before_its_first_cell_may_be_started_again(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    write_table(plan_of("good"), folder)
    check_free(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "finished"}', "null"])
def test_a_damaged_record_means_that_the_cell_runs_again(content: str, tmp_path: Path) -> None:
    plan, folder = plan_of("good"), SweepFolder(tmp_path)
    (cell,) = plan.cells
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / f"{cell.name}.json").write_text(content)
    assert folder.state(cell) == "new"


@pytest.mark.parametrize("name", ["data-digests.json", "cells"])
def test_a_folder_of_other_files_is_no_sweep(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="must be a new folder or one of a sweep"):
        check_free(SweepFolder(tmp_path))
