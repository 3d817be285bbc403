"""Tables of sweeps whose scores are written by hand."""

import json
import os
from pathlib import Path

import pytest

from tvseg.errors import UserError
from tvseg.evaluation.plot_style import to_png
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
    return read_plan(folder / "sweep.yaml", data=folder)


def finish(plan: SweepPlan, folder: SweepFolder) -> None:
    for cell in plan.cells:
        folder.write(cell, CellRecord(cell.fingerprint, "finished", 1.0, 1))


def score(scored: Path, **means: float) -> None:
    scored.mkdir(parents=True)
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


def test_sources_must_be_centres_and_something_be_held_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sources must name centres \(A, B, C, D\), got A, Q"):
        plan_of(CROSS.replace("B+C", "A+Q"), tmp_path)
    with pytest.raises(UserError, match="holdouts or sources must name"):
        plan_of(CROSS.replace("sources: [A, B+C]", ""), tmp_path)


def test_ensembles_are_rows_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, folder = plan_of(TOGETHER, tmp_path), SweepFolder(tmp_path / "sweep")
    found = {one.label: [cell.name for cell in one.cells] for one in ensembles_of(plan, folder)}
    assert found["dense ensemble"] == ["dense-holdout-A-seed0", "dense-holdout-A-seed1"]
    assert len(found["dense+ours ensemble"]) == 4
    scored: list[str] = []

    def evaluate(subject: str) -> None:
        scored.append(subject)
        score(folder.runs / subject / "eval" / "honest-last", A=80 + len(scored))

    monkeypatch.setattr(ensembles, "_subject", lambda plan, folder, one, *_: one.folder.path.name)
    monkeypatch.setattr(ensembles, "evaluate_run", evaluate)
    assert list(score_ensembles(plan, folder)) == []  # no run is finished
    finish(plan, folder)
    names = [f"{name}-holdout-A-ensemble" for name in ("dense", "ours", "dense+ours")]
    assert list(score_ensembles(plan, folder)) == [(name, "") for name in names]
    assert list(score_ensembles(plan, folder)) == []  # nothing is newer
    record = folder.path / "cells" / "ours-holdout-A-seed1.json"
    os.utime(record, (2**31, 2**31))
    monkeypatch.setattr(ensembles, "evaluate_run", lambda subject: scored.append(subject))
    assert [name for name, _ in score_ensembles(plan, folder)] == names[1:]
    rows = {row[2].text: row[3].text for row in table_of(plan, folder).rows}
    assert rows == {
        "dense": "missing",
        "ours": "missing",
        "dense ensemble": "81.00",
        "ours ensemble": "82.00",
        "dense+ours ensemble": "83.00",
    }
