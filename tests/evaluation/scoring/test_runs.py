import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.evaluation.conftest import TINY
from tvseg.data.centres import MaskEncoding
from tvseg.data.folds import make_fold
from tvseg.errors import UserError
from tvseg.evaluation.report.groups import caption
from tvseg.evaluation.schema import COLUMNS
from tvseg.evaluation.scoring.protocols import PROTOCOLS, Protocol, Scoring
from tvseg.evaluation.scoring.rows import read_cases
from tvseg.evaluation.scoring.runs import (
    Subject,
    cases_by_centre,
    evaluate_run,
    find_runs,
    open_runs,
    scored_cases,
)
from tvseg.inference.load import Model, load
from tvseg.inference.pipeline import Ensemble
from tvseg.metrics.segmentation import dice
from tvseg.runs.folder import RunFolder

HONEST, PAPER = PROTOCOLS["honest"], PROTOCOLS["paper"]


def _open(run: RunFolder, root: Path, *, images: str = "test") -> Subject:
    return open_runs([run], Scoring(HONEST, images), root=root, device="cpu", known=set())


def _under(subject: Subject, protocol: Protocol) -> Subject:
    """Return a subject that is scored by another protocol."""
    return replace(subject, scoring=replace(subject.scoring, protocol=protocol))


@pytest.fixture(scope="module")
def subject(trained_run: RunFolder, phantoms: Path) -> Subject:
    return _open(trained_run, phantoms)


def test_rows_are_of_the_unseen_centre(subject: Subject, phantoms: Path) -> None:
    table = evaluate_run(subject)
    assert set(table["centre"]) == {"B"}
    assert set(table["split"]) == {"test"}
    assert table.groupby(["variant", "structure"]).size().tolist() == [2, 2, 2, 2]
    written = read_cases(subject.run.path / "eval" / "honest" / "cases.csv")
    assert list(written.columns) == list(table.columns) == list(COLUMNS)
    everything = evaluate_run(_open(subject.run, phantoms, images="all"))
    assert len(everything) == 6 * 2 * 2
    assert (subject.run.path / "eval" / "honest-all" / "cases.csv").is_file()


def test_the_summary_holds_every_mean_with_its_interval(subject: Subject) -> None:
    table = evaluate_run(subject)
    summary = json.loads((subject.run.path / "eval" / "honest" / "summary.json").read_text())
    assert summary["chosen"] == "selected on sources"
    assert "threshold 0.5" in summary["words"]
    scores = {(s["metric"], s["structure"], s["variant"]): s for s in summary["scores"]}
    assert len(scores) == (9 * 2 + 4) * 2
    for (metric, structure, variant), found in scores.items():
        if metric == "dice":
            rows = table[(table.structure == structure) & (table.variant == variant)]
            assert found["mean"] == pytest.approx(100 * rows["dice"].mean())
            assert found["low"] <= found["mean"] <= found["high"]
            assert (found["n"], found["n_missed"]) == (2, rows["missed"].sum())


@pytest.mark.parametrize(
    ("protocol", "size", "side", "folder"),
    [
        ("honest", None, 96, "honest"),
        ("honest", "800", 800, "honest-800"),
        ("paper", None, 800, "paper"),
        ("paper", "native", 96, "paper-native"),
    ],
)
def test_scores_are_taken_on_the_grid_that_is_asked_for(
    subject: Subject, protocol: str, size: str | None, side: int, folder: str
) -> None:
    rules = PROTOCOLS[protocol].on_grid(size)
    table = evaluate_run(_under(subject, rules))
    truth = [case.read()[1].sum(axis=(1, 2)) for case in subject.cases]
    mine = table[table["variant"] == "dense"]["true_area_px"]
    expected = np.concatenate(truth) * (side / 96) ** 2
    assert mine.to_numpy() == pytest.approx(expected, rel=0.02 if side == 800 else 0)
    assert (subject.run.path / "eval" / folder / "cases.csv").is_file()
    grid = "native grid" if side == 96 else "800 px grid"
    assert grid in rules.scoring_words


class Scripted:
    """A network with an answer to every rule: a disc with an unsure rim and a tongue, a cup that
    leaves the disc; the second picture that it is shown has no disc."""

    image_size = 64

    def __init__(self, encoding: MaskEncoding) -> None:
        self.encoding = encoding
        self.shown: list[bytes] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        (picture,) = (image.tobytes() for image in images)
        if picture not in self.shown:
            self.shown.append(picture)
        logits = np.full((1, 2, 64, 64), -5.0, np.float32)
        logits[0, 0, 20:44, 30:52] = 5
        if self.shown.index(picture) == 0:
            logits[0, 1, 12:48, 12:48] = 0.5  # a probability of 0.62
            logits[0, 1, 16:44, 16:44] = 5
            logits[0, 1, 30:32, 44:60] = 5
        return logits


def test_each_rule_of_the_protocols_changes_its_columns_and_no_others(subject: Subject) -> None:
    """Each part of the paper's protocol, put into the honest one alone."""
    network = Scripted(subject.model.pipeline.ensemble.encoding)
    pipeline = replace(subject.model.pipeline, ensemble=Ensemble([network]))
    subject = replace(subject, model=Model(pipeline, cards=subject.model.cards))
    areas = {"dice", "hd95_px", "hd_px", "asd_px", "assd_px", "hd95_share", "assd_share",
             "surface_dice_2_5", "surface_dice_5"}  # fmt: skip
    masks = {*areas, "area_px", "missed", "spurious", "vcdr", "vcdr_box"}
    threshold = replace(HONEST.postprocessing, threshold=PAPER.postprocessing.threshold)
    unclipped = replace(HONEST.postprocessing, clip_nested=PAPER.postprocessing.clip_nested)
    parts: dict[str, tuple[dict[str, Any], set[str]]] = {
        "smooth": ({"smooth": PAPER.smooth}, {"dice"}),
        "rule": ({"hd95_rule": PAPER.hd95_rule}, {"hd95_px", "hd95_share"}),
        "missed": ({"missed_px": PAPER.missed_px}, areas - {"dice"}),
        "threshold": ({"postprocessing": threshold}, masks),
        "clip": ({"postprocessing": unclipped}, masks),
        "grid": ({"grid_px": PAPER.grid_px}, {*masks, "true_area_px", "true_vcdr",
                                             "true_vcdr_box"}),
    }  # fmt: skip
    honest = evaluate_run(subject)
    for name, (change, allowed) in parts.items():
        changed = _differing(honest, evaluate_run(_under(subject, replace(HONEST, **change))))
        assert changed, name
        assert changed <= allowed, name
    everything = {key: value for change, _ in parts.values() for key, value in change.items()}
    everything["postprocessing"] = PAPER.postprocessing
    assert replace(HONEST, name="paper", **everything) == PAPER


def _differing(one: pd.DataFrame, other: pd.DataFrame) -> set[str]:
    return {name for name in one.columns if not one[name].equals(other[name])}


def test_other_data_are_refused(trained_run: RunFolder, phantoms: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    path = next((root / "Domain2").rglob("test/ROIs/image/*.png"))
    Image.fromarray(np.array(Image.open(path)) // 2).save(path)
    with pytest.raises(ValueError, match="data must be those that the run was made with"):
        _open(trained_run, root)


def test_scored_masks_are_those_of_tvseg_predict(subject: Subject) -> None:
    image, truth = subject.cases[0].read()
    prediction = load(subject.run.path, device="cpu", roi="none")(image)
    (variant, masks), _ = subject.predictions(image)
    assert variant == "dense"
    assert (masks == np.stack(list(prediction.masks.values()))).all()
    table = evaluate_run(subject)
    mine = table[(table["variant"] == "dense") & (table["case"] == subject.cases[0].name)]
    assert mine["dice"].tolist() == [
        dice(mask, true) for mask, true in zip(masks, truth, strict=True)
    ]


def test_mirror_images_and_ensembles_are_scored(
    trained_run: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / "dense-holdout-B-seed0", tmp_path / "dense-holdout-B-seed1"]
    runs = [RunFolder(Path(shutil.copytree(trained_run.path, folder))) for folder in folders]
    arguments = {"root": phantoms, "device": "cpu", "known": set()}
    alone = evaluate_run(open_runs(runs[:1], Scoring(HONEST), **arguments))
    pair = evaluate_run(open_runs(runs, Scoring(HONEST), **arguments))
    assert set(pair["variant"]) == {"dense ensemble"}
    assert set(pair["run"]) == {"dense-holdout-B-ensemble"}
    assert (tmp_path / "dense-holdout-B-ensemble" / "eval" / "honest" / "cases.csv").is_file()
    networks = alone[alone["variant"] == "dense"].reset_index(drop=True)
    assert pair["dice"].tolist() == pytest.approx(networks["dice"].tolist(), abs=1e-3)
    mirrored = evaluate_run(open_runs(runs[:1], Scoring(HONEST, tta=True), **arguments))
    assert (folders[0] / "eval" / "honest-tta" / "cases.csv").is_file()
    both = mirrored[mirrored["variant"] == "dense"]["area_px"].tolist()
    assert both != networks["area_px"].tolist()


def test_ellipses_are_scored_beside_masks(
    trained_run: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    run = RunFolder(Path(shutil.copytree(trained_run.path, tmp_path / trained_run.path.name)))
    scoring = Scoring(PROTOCOLS["honest"].shaped("ellipse"))
    assert scoring.command([run]).endswith("--shape ellipse")
    assert "made ellipses" in scoring.protocol.prediction_words()
    arguments = {"root": phantoms, "device": "cpu", "known": set()}
    shaped, free = (
        evaluate_run(open_runs([run], one, **arguments)) for one in (scoring, Scoring(HONEST))
    )
    assert (run.path / "eval" / "honest-ellipse" / "cases.csv").is_file()
    assert (run.path / "eval" / "honest" / "cases.csv").is_file()
    areas = [table[table["variant"] == "dense"]["area_px"] for table in (shaped, free)]
    assert areas[0].tolist() != areas[1].tolist()
    assert areas[0].to_numpy() == pytest.approx(areas[1].to_numpy(), rel=0.2)


def test_the_localizer_is_scored_where_there_is_one(
    localised_run: RunFolder, trained_run: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    run = RunFolder(Path(shutil.copytree(localised_run.path, tmp_path / localised_run.path.name)))
    subject = open_runs(
        [run], Scoring(HONEST, roi="auto"), root=phantoms, device="cpu", known=set()
    )
    assert subject.model.localizer == run.localizer
    evaluate_run(subject)
    assert (run.path / "eval" / "honest-roi-auto" / "cases.csv").is_file()
    with pytest.raises(ValueError, match="takes a run with a localizer"):
        open_runs(
            [trained_run], Scoring(HONEST, roi="auto"), root=phantoms, device="cpu", known=set()
        )


def test_without_a_holdout_the_test_splits_count(phantoms: Path) -> None:
    fold = make_fold(cases_by_centre(phantoms, TINY), "none")
    assert {case.split for case in scored_cases(fold, "test")} == {"test"}
    with pytest.raises(ValueError, match="trained on"):
        scored_cases(fold, "all")


def test_runs_are_found_and_damaged_ones_named(trained_run: RunFolder, tmp_path: Path) -> None:
    assert find_runs([trained_run.path]) == find_runs([trained_run.path.parent]) == [trained_run]
    runs = Path(shutil.copytree(trained_run.path.parent, tmp_path / "runs"))
    shutil.copytree(runs / trained_run.path.name, runs / "faces-seed0")
    (runs / "faces-seed0" / "config.yaml").write_text("backbone: mobilenet_v2\n")
    assert [run.path.name for run in find_runs([runs])] == [trained_run.path.name]
    with pytest.raises(UserError, match="faces-seed0 is one of another training"):
        find_runs([runs / "faces-seed0"])
    info = runs / trained_run.path.name / "run.json"
    for damaged in ("{", "[]", "{}", "null"):
        info.write_text(damaged)
        with pytest.raises(ValueError, match=r"run.json: "):
            find_runs([runs])
    with pytest.raises(ValueError, match="does not exist"):
        find_runs([tmp_path / "none"])


def test_an_unfinished_run_is_not_scored(trained_run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(trained_run.path, tmp_path / "runs" / "copy")))
    copy.write_info(finished=None)
    with pytest.raises(ValueError, match="is not finished"):
        find_runs([copy.path])
    with pytest.raises(ValueError, match="no finished run"):
        find_runs([tmp_path / "runs"])


def test_sources_are_scored_and_adaptation_is_kept_by_itself(
    trained_run: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    run = RunFolder(Path(shutil.copytree(trained_run.path, tmp_path / trained_run.path.name)))
    arguments = {"root": phantoms, "device": "cpu", "known": set()}
    known = open_runs([run], Scoring(HONEST, "sources"), **arguments)
    assert {case.centre.letter for case in known.cases} == {"A", "C", "D"}
    assert {case.split for case in known.cases} == {"test"}
    with pytest.raises(UserError, match="takes 8 photographs or more"):
        open_runs([run], Scoring(HONEST, adapt="batchnorm"), **arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tvseg.inference.adaptation.MIN_REGIONS", 2)
        scoring = Scoring(HONEST, "all", adapt="batchnorm")
        plain, adapted = (
            evaluate_run(open_runs([run], one, **arguments))
            for one in (Scoring(HONEST, "all"), scoring)
        )
    assert (run.path / "eval" / "honest-all-adapt-batchnorm" / "cases.csv").is_file()
    assert plain["area_px"].tolist() != adapted["area_px"].tolist()
    assert scoring.command([run]).endswith("--images all --adapt batchnorm")
    assert "adapted to these very images" in caption([run], scoring)
    assert "centres trained on" in caption([run], Scoring(HONEST, "sources"))
