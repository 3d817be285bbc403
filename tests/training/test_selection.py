from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tvseg.config import dump_settings, load_settings
from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.folds import make_fold
from tvseg.errors import UserError
from tvseg.runs.checkpoint import load_training
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import SegmentationSettings, run_name
from tvseg.training.lodo import cross_validate
from tvseg.training.selection import make_selection
from tvseg.training.train import train

TINY = ["aspp=dense", "encoder_weights=none", "image_size=64", "precision=fp32",
        "train.epochs=3", "train.steps_per_epoch=1", "train.images_per_centre=2"]  # fmt: skip


def test_only_the_paper_selects_on_the_target(phantoms: Path) -> None:
    cases = {
        letter: find_cases(phantoms, c) for letter, c in centres_of(SegmentationSettings()).items()
    }
    fold = make_fold(cases, "A")
    for name, words in (
        ("sources", "selected on sources"),
        ("lodo", "selected by leaving out each source in turn"),
        ("last", "last epoch"),
    ):
        honest = make_selection(name, fold)
        assert {case.centre.letter for case in honest.cases} == {"B", "C", "D"}
        assert honest.words == words
    paper = make_selection("target", fold)
    assert {(case.centre.letter, case.split) for case in paper.cases} == {("A", "test")}
    assert paper.words == "selected on target"
    with pytest.raises(ValueError, match="selection=sources"):
        make_selection("target", make_fold(cases, "none"))


def scripted(runs: Path, **dice: list[float]) -> Callable[[SegmentationSettings, str], RunFolder]:
    """Write the scores of an inner run instead of training it."""

    def train_inner(settings: SegmentationSettings, source: str) -> RunFolder:
        assert settings.selection == "target"
        assert not settings.train.log_affinity
        run = RunFolder(runs / run_name(settings, source))
        run.path.mkdir(parents=True)
        (run.path / "config.yaml").write_text(dump_settings(settings))
        assert set(dice) == set(settings.centres)
        for epoch, score in enumerate(dice[source], start=1):
            run.append_metrics({"epoch": epoch, "dice": score, "seconds": 1})
        return run

    return train_inner


def test_lodo_takes_the_epoch_that_serves_sources_left_out(tmp_path: Path) -> None:
    settings = load_settings(None, [*TINY, "selection=lodo", "train.log_affinity=true"])
    scores = {"B": [0.1, 0.4, 0.9], "C": [0.2, 0.9, 0.3], "D": [0.9, 0.7, 0.6]}
    assert cross_validate(settings, "A", scripted(tmp_path / "1", **scores)) == 2
    fewer = scripted(tmp_path / "2", B=scores["B"], D=scores["D"][:2])
    with pytest.raises(UserError, match="must have a row for each epoch"):
        cross_validate(settings, "A+C", fewer)
    with pytest.raises(UserError, match="needs two source centres or more, got D"):
        cross_validate(settings, "A+B+C", scripted(tmp_path / "3", D=scores["D"]))


def test_lodo_trains_without_the_target_and_keeps_its_epoch(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tvseg.training import train as module

    seen: list[int] = []

    def choose(settings: SegmentationSettings, holdout: str, inner: object) -> int:
        epoch = cross_validate(settings, holdout, inner)  # type: ignore[arg-type]
        assert 1 <= epoch <= 3
        seen.append(epoch)
        return 2

    monkeypatch.setattr(module, "cross_validate", choose)
    settings = load_settings(None, [*TINY, "selection=lodo"])
    run = train(settings, holdout="A+B", root=phantoms, runs=tmp_path, overwrite=True)
    assert len(seen) == 1
    inner = sorted(path.name for path in run.inner.iterdir())
    assert inner == ["dense-holdout-C-seed0", "dense-holdout-D-seed0"]
    assert set(RunFolder(run.inner / inner[0]).settings().centres) == {"C", "D"}
    assert (run.info()["best_epoch"], run.info()["chosen"].split()[0]) == (2, "selected")
    card = load_network(run.best)[1]
    assert (card.epoch, card.chosen) == (2, "selected by leaving out each source in turn")
    assert train(settings, holdout="A+B", root=phantoms, runs=tmp_path, resume=True) == run


def test_last_keeps_the_last_epoch(phantoms: Path, tmp_path: Path) -> None:
    settings = load_settings(None, [*TINY, "selection=last"])
    run = train(settings, holdout="B+C+D", root=phantoms, runs=tmp_path)
    best, card = load_network(run.best)
    assert (card.epoch, card.chosen, card.holdout) == (3, "last epoch", "B+C+D")
    last = load_training(run.last)["network"]
    assert all(torch.equal(value, last[name]) for name, value in best.state_dict().items())
