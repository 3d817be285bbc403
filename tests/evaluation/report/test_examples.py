import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests.evaluation.conftest import scored_rows
from tvseg.data.geometry import Box
from tvseg.evaluation.report.examples import predict_examples, rank_cases
from tvseg.evaluation.report.panels import Example, panels, window
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
from tvseg.evaluation.scoring.runs import evaluate_run, open_runs
from tvseg.metrics import dice
from tvseg.runs.folder import RunFolder

CPU = torch.device("cpu")


def _predict(cases: pd.DataFrame, run: RunFolder, root: Path, scoring: Scoring) -> list[Example]:
    return predict_examples(
        rank_cases(cases, ["dense"]), cases, {"dense": run}, root=root, scoring=scoring, device=CPU
    )


@pytest.fixture(scope="module", params=["honest", "paper"])
def scored(
    request: pytest.FixtureRequest, trained_run: RunFolder, phantoms: Path
) -> tuple[pd.DataFrame, Scoring]:
    """A real run's rows, at a threshold that a network after two steps gets above."""
    protocol = PROTOCOLS[request.param]
    low = replace(protocol.postprocessing, threshold=0.3)
    scoring = Scoring(replace(protocol, postprocessing=low), images="all", checkpoint="best")
    subject = open_runs([trained_run], scoring, root=phantoms, device="cpu", known=set())
    return evaluate_run(subject), scoring


def test_predictions_are_those_that_were_scored(
    scored: tuple[pd.DataFrame, Scoring], trained_run: RunFolder, phantoms: Path
) -> None:
    cases, scoring = scored
    examples = _predict(cases, trained_run, phantoms, scoring)
    assert [example.rank for example in examples] == ["best", "median", "worst"]
    for example in examples:
        assert example.image.shape[:2] == example.truth.shape[1:]
        own = cases[(cases["case"] == example.name) & (cases["variant"] == "dense")]
        for structure, truth, prediction in zip(
            example.structures, example.truth, example.predictions["dense"], strict=True
        ):
            now = dice(prediction, truth, smooth=scoring.protocol.smooth)
            (before,) = own[own["structure"] == structure]["dice"]
            assert now == pytest.approx(before) == example.dice["dense"][structure]


def test_other_weights_or_data_than_the_scored_are_refused(
    scored: tuple[pd.DataFrame, Scoring], trained_run: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    cases, scoring = scored
    changed = cases.assign(dice=cases["dice"] + 0.1)
    with pytest.raises(ValueError, match=r"must predict what was scored.*score again with: tvseg"):
        _predict(changed, trained_run, phantoms, scoring)
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    for path in (root / "Domain2").rglob("*.png"):
        path.rename(path.with_name(f"other-{path.name}"))
    with pytest.raises(ValueError, match=r"has no \w+ case phantom-B-\d+, give their folder"):
        _predict(cases, trained_run, root, scoring)


def test_ranks_are_of_the_mean_over_structures_variants_and_seeds() -> None:
    cases = scored_rows(("dense", "tvconv"), "AB")
    chosen = rank_cases(cases, ["dense", "tvconv"])
    for centre in "AB":
        own = cases[cases["centre"] == centre]
        means = {name: own[own["case"] == name]["dice"].mean() for name in own["case"].unique()}
        order = sorted(means, key=lambda name: -means[name])
        here = chosen[chosen["centre"] == centre]
        assert here["rank"].tolist() == ["best", "median", "worst"]
        assert here["case"].tolist() == [order[0], order[3], order[7]]


def test_few_cases_have_fewer_ranks() -> None:
    cases = scored_rows(("dense",), "A").query("case in ('photo0', 'photo1')")
    assert rank_cases(cases, ["dense"])["rank"].tolist() == ["best", "worst"]
    one = cases.query("case == 'photo0'")
    assert rank_cases(one, ["dense"])["rank"].tolist() == ["best"]


def _example(name: str = "photo") -> Example:
    """A disc at the right border of a 60 x 100 photograph, and a prediction of it that is off."""
    truth = np.zeros((2, 60, 100), dtype=bool)
    truth[1, 20:40, 80:100] = True
    truth[0, 25:35, 85:95] = True
    shifted = np.roll(truth, -10, axis=2)
    image = np.full((60, 100, 3), 128, dtype=np.uint8)
    score = {"dense": {"cup": 0.5, "disc": float("nan")}, "tvconv": {"cup": 1.0, "disc": 1.0}}
    predictions = {"dense": shifted, "tvconv": truth}
    return Example("best", name, image, truth, predictions, ("cup", "disc"), score)


def test_the_window_is_a_square_in_the_photograph_about_all_contours() -> None:
    box = window(_example())
    assert box.height == box.width == 39  # 30 px and 15 % of it on each side
    assert box.overlap(Box(0, 0, 60, 100)) == box
    assert box.overlap(Box(20, 70, 20, 30)) == Box(20, 70, 20, 30)
    nothing = replace(_example(), truth=np.zeros((2, 60, 100), dtype=bool), predictions={})
    assert window(nothing) == Box(0, 0, 60, 100)


def test_panels_draw_truth_and_prediction_of_every_variant() -> None:
    figure = panels([_example("one"), _example("two")])
    grid = np.array(figure.axes, dtype=object).reshape(2, 3)
    assert [axes.get_title() for axes in grid[0]] == ["photograph", "dense", "tvconv"]
    assert [row[0].get_ylabel() for row in grid] == ["best\none", "best\ntwo"]
    assert grid[0, 1].get_xlabel() == "OC 50.0  OD none"
    assert grid[0, 2].get_xlabel() == "OC 100.0  OD 100.0"
    colours = [line.get_color() for line in grid[0, 1].lines]
    red, green, blue = (colours[0], colours[3], colours[1])
    assert colours == [red, blue, red, green]
    assert red == "#FF3030"
    assert green[1] > max(green[0], green[2])
    assert blue[2] > max(blue[0], blue[1])
    for line, columns in zip(
        grid[0, 1].lines, [(85, 95), (75, 85), (80, 100), (70, 90)], strict=True
    ):
        x = line.get_xdata()
        assert (x.min(), x.max()) == (columns[0] - 0.5, columns[1] - 0.5)
    assert grid[0, 1].get_xlim() == grid[0, 2].get_xlim()
