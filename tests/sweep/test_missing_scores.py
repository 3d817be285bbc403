"""Finished cells whose scores the sweep file asks for are missing: scored, and not trained."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tvseg.cli import cli
from tvseg.files import write_json
from tvseg.runs.folder import RunFolder
from tvseg.sweep import cells
from tvseg.sweep.cells import CellRecord, SweepFolder, commands_of, state_of
from tvseg.sweep.plan import SweepPlan, read_plan
from tvseg.sweep.table import table_of

SWEEP = "variants: {dense: {aspp: dense}}\nholdouts: [B+C+D]\n"
FACES = "task: faces\nvariants: {plain: {image_size: 32}}\n"

# In the place of the command line: it writes what a scoring leaves, and trains nothing.
PROGRAM = """
import json, pathlib, sys
words = sys.argv[1:]
shown = [word for word in words if word in ("paper", "last", "sources")]
with open("said", "a") as said:
    said.write(" ".join([words[0], *shown]) + "\\n")
if words[0] == "eval":
    if "paper" in words and pathlib.Path("no paper").exists():
        sys.exit("Error: no paper")
    protocol, checkpoint = (words[words.index(key) + 1] for key in ("--protocol", "--checkpoint"))
    names = [protocol, *(word for word in shown if word != protocol)]
    out = pathlib.Path(words[1], "eval", "-".join(names))
    out.mkdir(parents=True)
    centres = "A" if "sources" in words else "BCD"
    rows = [{"metric": "dice", "structure": "cup", "centre": c, "variant": "x", "mean": 80}
            for c in centres]
    (out / "summary.json").write_text(json.dumps({"checkpoint": checkpoint, "scores": rows}))
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, and a program that cells call instead of tvseg."""
    (tmp_path / "data").mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)

    def scripted(plan: SweepPlan, *of: object) -> list[list[str]]:
        commands = commands_of(plan, *of)
        return [[sys.executable, "program.py", *command[3:]] for command in commands]

    monkeypatch.setattr(cells, "commands_of", scripted)
    return tmp_path


def sweep(text: str, *words: str) -> Result:
    Path("sweep.yaml").write_text(text)
    Path("said").write_text("")
    return CliRunner().invoke(
        cli, ["sweep", "sweep.yaml", "--data", "data", "--out", "out", *words]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[B+C+D]\n", "[B+C+D]\nprotocols: [paper, honest]\n"), ["eval paper"]),
        (("[B+C+D]\n", "[B+C+D]\ncheckpoint: last\n"), ["eval last"]),
        (("holdouts: [B+C+D]", "sources: [A]"), ["eval sources"]),
    ],
    ids=["protocols", "checkpoint", "sources"],
)
def test_scores_that_a_finished_sweep_lacks_are_made(
    change: tuple[str, str], said: list[str], program: Path
) -> None:
    assert "1 of 1 cells finished" in sweep(SWEEP).output
    assert Path("said").read_text().splitlines() == ["train", "eval"]
    changed = SWEEP.replace(*change)
    planned = sweep(changed, "--dry-run")
    assert "trained   dense-holdout-B+C+D-seed0\n0 of 1 cells finished\n" in planned.output
    again = sweep(changed)
    assert Path("said").read_text().splitlines() == ["train", *said]
    assert "1 of 1 cells finished" in again.output
    assert "missing" not in Path("out/sweep.md").read_text()
    assert "80.00" in Path("out/sweep.md").read_text()
    assert not Path("out/old").exists()
    sweep(changed)
    assert Path("said").read_text() == ""


def test_a_damaged_scoring_is_made_again(program: Path) -> None:
    sweep(SWEEP)
    summary = next(Path("out/runs").glob("*/eval/honest/summary.json"))
    row = json.loads(summary.read_text())["scores"][0]
    lists = [[], 5, "abc", [1], [row | {"mean": "x"}], [row | {"mean": 10**400}], [{"mean": 1}]]
    texts = ["", "[]", "{}", '{"scores": null, "checkpoint": "last"}']
    texts += [json.dumps({"scores": rows}) for rows in lists]
    texts.append(json.dumps({"scores": [row | {"mean": float("nan")}]}))
    for content in texts:
        summary.write_text(content)
        plan = read_plan(Path("sweep.yaml"), data=Path("data"))
        assert state_of(plan, plan.cells[0], SweepFolder(Path("out"))) == "trained"


def test_a_scoring_that_fails_takes_no_other_scores_away(program: Path) -> None:
    both = SWEEP + "protocols: [honest, paper]\n"
    sweep(SWEEP)
    Path("no paper").touch()
    failed = sweep(both)
    assert failed.exit_code == 3
    assert "failed (exit code 1: Error: no paper)" in failed.output
    table = Path("out/sweep.md").read_text()
    assert ("80.00" in table, "missing" in table) == (True, True)
    assert sweep(both).exit_code == 3  # until --retry-failed
    assert Path("said").read_text() == ""
    assert sweep(SWEEP).exit_code == 0
    assert "missing" not in Path("out/sweep.md").read_text()
    Path("no paper").unlink()
    assert sweep(both, "--retry-failed").exit_code == 0


def test_a_finished_run_that_is_held_is_not_counted_as_scored(program: Path) -> None:
    sweep(SWEEP)
    run = next(Path("out/runs").iterdir())
    with RunFolder(run).lock():
        held = sweep(SWEEP + "protocols: [honest, paper]\n")
    assert held.exit_code == 3
    assert "begun (out/runs/" in held.output
    assert "must be free" in held.output


def test_an_interrupt_outside_of_cells_is_one_line(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tvseg.sweep.ensembles.score_ensembles", interrupted)
    stopped = sweep(SWEEP)
    assert stopped.exit_code == 4
    assert "sweep stopped, 1 of 1 cells finished; the same command continues out" in stopped.output


def test_scores_of_faces_are_of_the_checkpoint_that_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    folder, plans = SweepFolder(tmp_path / "out"), []
    for text in (FACES, FACES + "checkpoint: last\n"):
        (tmp_path / "sweep.yaml").write_text(text)
        plans.append(read_plan(tmp_path / "sweep.yaml", data=tmp_path / "data"))
    (cell,) = plans[0].cells
    folder.write(cell, CellRecord(cell.fingerprint, "finished"))
    rows = [{"set": "lfw", "accuracy": 81.25}]
    write_json(
        folder.runs / cell.name / "eval" / "honest" / "scores.json",
        {"checkpoint": "best", "scores": rows},
    )
    assert [state_of(plan, cell, folder) for plan in plans] == ["finished", "trained"]
    assert [len(commands_of(plan, cell, folder)) for plan in plans] == [1, 2]
    shown = [json.dumps(table_of(plan, folder).rows, default=str) for plan in plans]
    assert ["81.25" in text for text in shown] == [True, False]
