"""Tables of sweeps whose scores are written by hand."""

import json
import os
from pathlib import Path

import pytest

from tvseg.errors import UserError
from tvseg.evaluation.plot_style import to_png
from tvseg.files import write_text
from tvseg.runs.folder import RunFolder
from tvseg.sweep import ensembles
from tvseg.sweep.cells import CellRecord, SweepFolder, commands_of
from tvseg.sweep.cross import cross_figure
from tvseg.sweep.ensembles import ensembles_of, score_ensembles
from tvseg.sweep.plan import SweepPlan, read_plan
from tvseg.sweep.table import cross_table, table_of, write_table

CROSS = """
variants: {dense: {aspp: dense}}
sources: [A, B+C]
seeds: [0, 1]
"""
TOGETHER = """
variants: {dense: {aspp: dense}, ours: {aspp: tvconv}}
holdouts: [A]
seeds: [0, 1]
ensembles: [seeds, variants]
checkpoint: last
"""


def plan_of(text: str, folder: Path) -> SweepPlan:
    (folder / "sweep.yaml").write_text(text)
    (folder / "data").mkdir(exist_ok=True)
    return read_plan(folder / "sweep.yaml", data=folder / "data")


def finish(plan: SweepPlan, folder: SweepFolder) -> None:
    for cell in plan.cells:
        folder.write(cell, CellRecord(cell.fingerprint, "finished", 1.0, 1))
        best = RunFolder(folder.runs / cell.name).best
        if not best.exists():
            write_text(best, "")


def score(scored: Path, **means: float) -> None:
    scored.mkdir(parents=True, exist_ok=True)
    rows = [
        {"metric": "dice", "structure": "cup", "centre": c, "variant": "x", "mean": mean}
        for c, mean in means.items()
    ]
    (scored / "summary.json").write_text(json.dumps({"scores": rows}))


def test_a_cross_table_has_sources_as_rows_and_centres_as_columns(tmp_path: Path) -> None:
    plan, folder = plan_of(CROSS, tmp_path), SweepFolder(tmp_path / "sweep")
    assert [cell.name for cell in plan.cells[:2]] == [
        "dense-holdout-B+C+D-seed0",
        "dense-holdout-A+D-seed0",
    ]
    _, unseen, known = commands_of(plan, plan.cells[0], folder)
    assert (unseen[-1], known[-1]) == ("best", "sources")
    assert "missing" in json.dumps(cross_table(plan, folder).rows)
    finish(plan, folder)
    for seed in (0, 1):
        of_a = folder.runs / f"dense-holdout-B+C+D-seed{seed}" / "eval"
        score(of_a / "honest", B=60 + 2 * seed, C=50, D=40)
        score(of_a / "honest-sources", A=90)
    score(folder.runs / "dense-holdout-A+D-seed1" / "eval" / "honest", A=70, D=30)
    table = cross_table(plan, folder)
    assert list(table.columns) == [
        "protocol", "structure", "variant", "trained on", "A", "B", "C", "D"
    ]  # fmt: skip
    first, second = ([cell.text for cell in row[3:]] for row in table.rows)
    assert first == ["A", "90.00 (0.00)", "61.00 (1.41)", "50.00 (0.00)", "40.00 (0.00)"]
    assert second[:3] == ["B+C", "70.00 1 of 2 missing", "missing"]
    (panel,) = cross_figure(table.numbers).axes
    assert [text.get_text() for text in panel.texts[:3]] == ["90.0", "61.0", "50.0"]
    assert to_png(cross_figure(table.numbers)).startswith(b"\x89PNG")
    write_table(plan, folder)
    assert json.loads((folder.path / "sweep.json").read_text())["cross"][0]["B"] == 61


def test_joined_centres_have_their_mean_and_none_is_not_scored(tmp_path: Path) -> None:
    text = "variants: {dense: {aspp: dense}}\nholdouts: [A, B+C, none]\n"
    plan, folder = plan_of(text, tmp_path), SweepFolder(tmp_path / "sweep")
    finish(plan, folder)
    for holdout, means in {"A": {"A": 90}, "B+C": {"B": 80, "C": 70}}.items():
        score(folder.runs / f"dense-holdout-{holdout}-seed0" / "eval" / "honest", **means)
    (row,) = table_of(plan, folder).rows
    assert [cell.text for cell in row[3:]] == ["90.00", "75.00", "not scored"]
    score(folder.runs / "dense-holdout-B+C-seed0" / "eval" / "honest", B=80)
    assert table_of(plan, folder).rows[0][4].text == "missing"


def test_a_training_on_all_centres_is_scored_on_them(tmp_path: Path) -> None:
    plan = plan_of(CROSS.replace("B+C", "A+B+C+D"), tmp_path)
    _, known = commands_of(plan, plan.cells[1], SweepFolder(tmp_path / "sweep"))
    assert plan.cells[1].holdout == "none"
    assert known[-2:] == ["--images", "sources"]


def test_sources_must_be_centres_and_something_be_held_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sources must name centres \(A, B, C, D\), got A, Q"):
        plan_of(CROSS.replace("B+C", "A+Q"), tmp_path)
    with pytest.raises(UserError, match="holdouts or sources must name"):
        plan_of(CROSS.replace("sources: [A, B+C]", ""), tmp_path)


def scripted(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count scorings of ensembles instead of predicting; return the names of those scored."""
    scored: list[str] = []

    def evaluate(name: str) -> None:
        scored.append(name)
        score(folder.runs / name / "eval" / "honest-last", A=80 + len(scored))

    monkeypatch.setattr(ensembles, "_subject", lambda plan, folder, one, *_: one.folder.path.name)
    monkeypatch.setattr(ensembles, "evaluate_run", evaluate)
    return scored


def rows_of(plan: SweepPlan, folder: SweepFolder) -> dict[str, str]:
    rows = {row[2].text: row[3].text for row in table_of(plan, folder).rows}
    return {name: text for name, text in rows.items() if "ensemble" in name}


def test_ensembles_are_rows_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = plan_of(TOGETHER, tmp_path), SweepFolder(tmp_path / "sweep")
    found = {one.label: [cell.name for cell in one.cells] for one in ensembles_of(plan, folder)}
    assert found["dense ensemble"] == ["dense-holdout-A-seed0", "dense-holdout-A-seed1"]
    assert len(found["dense+ours ensemble"]) == 4
    scripted(folder, monkeypatch)
    assert list(score_ensembles(plan, folder)) == []  # no run is finished
    finish(plan, folder)
    names = [f"{name}-holdout-A-ensemble" for name in ("dense", "ours", "dense+ours")]
    assert list(score_ensembles(plan, folder)) == [(name, "") for name in names]
    assert list(score_ensembles(plan, folder)) == []  # nothing is newer
    rows = {"dense ensemble": "81.00", "ours ensemble": "82.00", "dense+ours ensemble": "83.00"}
    assert rows_of(plan, folder) == rows
    finish(plan, folder)  # only scored again
    assert rows_of(plan, folder) == rows
    best = RunFolder(folder.runs / "ours-holdout-A-seed1").best
    ahead = best.stat().st_mtime + 60
    os.utime(best, (ahead, ahead))  # it was trained again
    rows |= {"ours ensemble": "missing", "dense+ours ensemble": "missing"}
    assert rows_of(plan, folder) == rows
    assert [name for name, _ in score_ensembles(plan, folder)] == names[1:]
    score(folder.runs / names[0] / "eval" / "honest-last", A=12)  # by hand, of any runs
    assert rows_of(plan, folder)["dense ensemble"] == "missing"


def test_scores_of_an_ensemble_of_other_members_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = plan_of(TOGETHER, tmp_path), SweepFolder(tmp_path / "sweep")
    finish(plan, folder)
    scored = scripted(folder, monkeypatch)
    assert len(list(score_ensembles(plan, folder))) == 3
    assert rows_of(plan, folder)["ours ensemble"] == "82.00"
    other = plan_of("settings: {train.epochs: 3}\n" + TOGETHER, tmp_path)
    assert set(rows_of(other, folder).values()) == {"missing"}
    three = TOGETHER.replace("seeds: [0, 1]", "seeds: [0, 1, 2]")
    finish(larger := plan_of(three, tmp_path), folder)
    assert len(list(score_ensembles(larger, folder))) == 3
    assert rows_of(larger, folder)["ours ensemble"] == "85.00"
    assert set(rows_of(plan, folder).values()) == {"missing"}  # those are of three seeds
    assert len(list(score_ensembles(plan, folder))) == 3
    assert (rows_of(plan, folder)["ours ensemble"], len(scored)) == ("88.00", 9)


def test_one_variant_has_one_ensemble_and_names_fit_a_file_system(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    one = TOGETHER.replace("dense: {aspp: dense}, ", "")
    assert [len(e.cells) for e in ensembles_of(plan_of(one, tmp_path), folder)] == [2]
    many = ", ".join(f"{letter * 90}: {{aspp: dense}}" for letter in "abcd")
    plan = plan_of(TOGETHER.replace("dense: {aspp: dense}", many), tmp_path)
    names = [one.folder.path.name for one in ensembles_of(plan, folder)]
    assert len(set(names)) == 6
    assert max(map(len, names)) < 240


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("out of memory")])
def test_an_ensemble_that_fails_does_not_end_the_sweep(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, folder = plan_of(TOGETHER, tmp_path), SweepFolder(tmp_path / "sweep")
    finish(plan, folder)
    scripted(folder, monkeypatch)

    def fail(subject: str) -> None:
        raise error

    monkeypatch.setattr(ensembles, "evaluate_run", fail)
    reasons = [reason for _, reason in score_ensembles(plan, folder)]
    assert len(reasons) == 3
    assert all("No space left" in why or "out of memory" in why for why in reasons)
    assert set(rows_of(plan, folder).values()) == {"missing"}
