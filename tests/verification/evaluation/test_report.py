import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from tests.verification.conftest import settings
from tvseg.cli import cli
from tvseg.errors import UsageError, UserError
from tvseg.runs.folder import RunFolder
from tvseg.verification.evaluation.figures import roc
from tvseg.verification.evaluation.scored_runs import ScoredRun, find_face_runs, read_scored
from tvseg.verification.evaluation.settings_effect import effect_table, effects


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


def test_the_page_has_tables_and_curves(scored: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = call("faces", "report", scored.parent, "--out", out)
    assert done.exit_code == 0, done.output
    page = (out / "report.html").read_text()
    assert "biometric data" in page
    assert "fewer than 3 seeds" in page
    assert {path.name for path in (out / "figures").glob("*.png")} == {
        "roc-pairs_test.png", "training.png",
    }  # fmt: skip
    numbers = pd.read_csv(out / "tables" / "runs.csv")
    assert numbers["set"].tolist() == ["pairs_test"]
    assert numbers["accuracy"].between(0, 100).all()


def test_runs_without_scores_are_named(scored: Path, tmp_path: Path) -> None:
    done = call("faces", "report", scored, "--out", tmp_path / "x", "--protocol", "paper")
    assert done.exit_code == 1
    assert "has no scores under the protocol paper: run 'tvseg faces eval" in done.output
    with pytest.raises(UserError, match="must be a run of 'tvseg faces train' or a folder"):
        find_face_runs([tmp_path])
    (tmp_path / "discs").mkdir()
    (tmp_path / "discs" / "config.yaml").write_text("aspp: tvconv\n")
    with pytest.raises(UserError, match="must be a run of 'tvseg faces train' or a folder"):
        find_face_runs([tmp_path])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda scores: scores["scores"][0].pop("accuracy"),
            r"scores\.0\.accuracy: field required",
        ),
        (lambda scores: scores["scores"][0].update(auc=None), r"scores\.0\.auc: .*, got None"),
        (lambda scores: scores["scores"].clear(), "scores: list should have at least 1 item"),
        (lambda scores: scores.update(chosen=3), "chosen: .* valid string, got 3"),
    ],
)
def test_damaged_scores_are_one_line(
    change: Callable[[dict[str, Any]], object], words: str, scored: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(scored, tmp_path / scored.name))
    file = copied / "eval" / "honest" / "scores.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{file}: {words}.*; score the run again"):
        read_scored([copied], protocol="honest")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is damaged"),
        ("\0\1", "is damaged"),
        ("same,fold\n1,0\n", r"is damaged \(Usecols do not match columns"),
        ("same,squared_distance\n1,0.5\n0,x\n", "is damaged .*could not convert"),
        ("same,squared_distance\n1,0.5\n1,1\n", r"must hold pairs of one person .* and of two"),
        ("same,squared_distance\n1,0.5\n0,\n", "must hold .*each with a distance"),
        ("same,squared_distance\n1,0.5\n0,1\n", r"must hold \d+ pairs, holds 2"),
    ],
)
def test_damaged_distances_are_one_line(
    content: str, words: str, scored: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(scored, tmp_path / scored.name))
    file = copied / "eval" / "honest" / "pairs_test.csv"
    file.write_text(content)
    (run,) = read_scored([copied], protocol="honest")
    with pytest.raises(UserError, match=rf"{file} {words}.*; score the run again"):
        run.distances("pairs_test")


def test_a_training_counts_once(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scored.parent)
    (tmp_path / "link").symlink_to(scored)
    assert find_face_runs([Path(scored.name), scored, tmp_path / "link"]) == [Path(scored.name)]
    copied = Path(shutil.copytree(scored, tmp_path / "copy" / scored.name))
    with pytest.raises(UserError, match="have the same settings, seed and data, and would count"):
        read_scored([scored, copied], protocol="honest")


def test_rates_at_every_threshold() -> None:
    pairs = pd.DataFrame({"same": [1, 0, 1, 0], "squared_distance": [0.1, 0.2, 0.2, 0.9]})
    accepts, rates = roc(pairs)
    assert accepts.tolist() == [0, 0, 0.5, 1]
    assert rates.tolist() == [0, 0.5, 1, 1]


def scored_run(accuracy: float, *more: str) -> ScoredRun:
    chosen = settings(*more)
    folder = RunFolder(Path(f"{chosen.name}-seed{chosen.seed}"))
    return ScoredRun(folder, chosen, "honest", "", ({"set": "lfw", "accuracy": accuracy},))


def test_effects_average_over_seeds_and_keep_other_keys_usual() -> None:
    runs = [
        scored_run(80, "seed=0"), scored_run(84, "seed=1"),
        scored_run(70, "jitter.rotation=30"), scored_run(60, "jitter.scale=0.5"),
        scored_run(90, "operator=tvconv"),
    ]  # fmt: skip
    found = effects(runs, keys=["jitter.rotation", "jitter.scale"], by="operator", name="lfw")
    wanted = [
        ("jitter.rotation", 0.0, "depthwise", 82.0), ("jitter.rotation", 0.0, "tvconv", 90.0),
        ("jitter.rotation", 30.0, "depthwise", 70.0),
        ("jitter.scale", 0.0, "depthwise", 82.0), ("jitter.scale", 0.0, "tvconv", 90.0),
        ("jitter.scale", 0.5, "depthwise", 60.0),
    ]  # fmt: skip
    rows = found[["key", "value", "line", "accuracy"]].itertuples(index=False, name=None)
    assert list(rows) == wanted
    assert found["error"].iloc[0] == pytest.approx(np.sqrt(8))
    table = effect_table(found, by="operator", name="lfw")
    assert [cell.text for cell in table.rows[0]] == [
        "jitter.rotation", "0.0", "82.00 ± 2.83 (2)", "90.00",
    ]  # fmt: skip


def test_effects_refuse_runs_that_differ_otherwise() -> None:
    runs = [scored_run(80, "seed=0"), scored_run(84, "seed=1", "margin=0.2")]
    with pytest.raises(UserError, match="must differ in their seed alone"):
        effects(runs, keys=["width"], by="operator", name="lfw")
    with pytest.raises(UsageError, match=r"'jitter\.turn' is no key"):
        effects(runs, keys=["jitter.turn"], by="operator", name="lfw")
    with pytest.raises(UsageError, match="'train' is a section; name a key of it, such as"):
        effects(runs, keys=["train"], by="operator", name="lfw")
    with pytest.raises(UsageError, match="over must name a key"):
        effects(runs, keys=[], by="operator", name="lfw")
    with pytest.raises(UsageError, match="no scores of 'cfp'; scored are lfw"):
        effects(runs, keys=["width"], by="operator", name="cfp")


def test_stages_and_operators_are_drawn(scored: Path, tmp_path: Path) -> None:
    out = tmp_path / "plot.png"
    done = call("faces", "plot", scored, "--over", "stages, width,width,", "--out", out)
    assert done.exit_code == 0, done.output
    assert "depthwise" in done.output
    assert out.stat().st_size > 5000
