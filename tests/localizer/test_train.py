import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import every_disc_counts_as_found
from tvseg.config import load_settings
from tvseg.data.cases import Case, find_cases
from tvseg.data.centres import centres_of
from tvseg.data.dataset import LoadedCases
from tvseg.localizer import train as localizer_module
from tvseg.localizer.checkpoint import load_localizer
from tvseg.localizer.train import LocalizerPlan, fit_calibration, framing_of, train_localizer
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network

TINY = LocalizerPlan(steps=2, images_per_centre=1, retinas=2, calibration_steps=4, image_size=64)


@pytest.fixture
def run(localised_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy of a run, to write to."""
    every_disc_counts_as_found(monkeypatch)
    return RunFolder(shutil.copytree(localised_run.path, tmp_path / "run"))


def _cases(phantoms: Path, letters: str) -> list[Case]:
    centres = centres_of(load_settings())
    return [case for letter in letters for case in find_cases(phantoms, centres[letter])[:2]]


def _loaded(cases: list[Case], sides: list[int]) -> LoadedCases:
    """Cases of 100 px whose discs are squares of these sides in px."""
    masks = np.zeros((len(cases), 100, 100, 2), np.uint8)
    for mask, side in zip(masks, sides, strict=True):
        mask[10 : 10 + side, 20:25, 1] = 1  # taller than wide: the longer side counts
    return LoadedCases(tuple(cases), np.zeros((len(cases), 100, 100, 3), np.uint8), masks)


def test_the_framing_is_a_median_in_which_centres_count_alike(phantoms: Path) -> None:
    cases = [*_cases(phantoms, "A"), *_cases(phantoms, "B")[:1], *_cases(phantoms, "C")[:1]]
    loaded = _loaded(cases, [80, 79, 50, 40])  # the two of A count half each
    assert framing_of(loaded) == pytest.approx(100 / 50)


def test_a_framing_needs_a_disc(phantoms: Path) -> None:
    with pytest.raises(ValueError, match="needs a disc"):
        framing_of(_loaded(_cases(phantoms, "A"), [0, 0]))


def test_a_calibration_gives_the_share_of_discs() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 3, 4000)
    found = rng.random(4000) < 1 / (1 + np.exp(-(0.7 * scores - 1)))
    calibration = fit_calibration(scores.tolist(), found.tolist())
    assert calibration.slope == pytest.approx(0.7, abs=0.07)
    assert calibration.offset == pytest.approx(-1, abs=0.15)
    assert calibration(0.0) == pytest.approx(1 / (1 + np.exp(1)), abs=0.03)


def test_scores_that_part_perfectly_leave_the_calibration_finite() -> None:
    calibration = fit_calibration([-2.0, -1.0, 1.0, 2.0], [False, False, True, True])
    assert calibration(1.0) == pytest.approx(0.75, abs=0.1)
    assert calibration(-1.0) == pytest.approx(0.25, abs=0.1)


def test_a_calibration_needs_both_kinds() -> None:
    with pytest.raises(ValueError, match="with and without a disc, got 2 and 0"):
        fit_calibration([1.0, 2.0], [True, True])


def test_a_seed_decides_the_weights(run: RunFolder, phantoms: Path) -> None:
    weights = []
    for seed in (3, 3, 4):
        card = train_localizer(run, root=phantoms, seed=seed, plan=TINY)
        assert card.seed == seed
        weights.append(load_file(run.localizer))
    first, again, other = weights
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_the_card_is_of_the_run_and_its_data(run: RunFolder, phantoms: Path) -> None:
    card = train_localizer(run, root=phantoms, plan=TINY)
    model = load_network(run.best)[1]
    assert load_localizer(run.localizer)[1] == card
    assert (card.holdout, card.fingerprint) == (model.holdout, model.fingerprint)
    assert card.run == "dense-holdout-A-seed0"
    assert 1.5 < card.framing < 3


def test_the_held_out_centre_is_never_shown(
    run: RunFolder, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, str]] = []

    class Watched(localizer_module.Composites):
        def __init__(self, loaded: LoadedCases, *args: object, **options: object) -> None:
            shown.extend((case.centre.letter, case.split) for case in loaded.cases)
            super().__init__(loaded, *args, **options)

    monkeypatch.setattr(localizer_module, "Composites", Watched)
    train_localizer(run, root=phantoms, plan=TINY)
    assert {letter for letter, _ in shown} == {"B", "C", "D"}
    assert {split for _, split in shown} == {"train", "test"}


def test_other_data_than_the_runs_are_refused(
    run: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(phantoms, tmp_path / "data")
    next((root / "Domain2" / "train" / "ROIs" / "image").iterdir()).unlink()
    folder = root / "Domain2" / "train" / "ROIs"
    names = {path.name for path in (folder / "image").iterdir()}
    for mask in (folder / "mask").iterdir():
        if mask.name not in names:
            mask.unlink()
    before = run.localizer.read_bytes()
    with pytest.raises(ValueError, match=r"must hold the data that .* was trained on"):
        train_localizer(run, root=root, plan=TINY)
    assert run.localizer.read_bytes() == before


def test_a_loss_that_is_not_finite_ends_the_training(run: RunFolder, phantoms: Path) -> None:
    before = run.localizer.read_bytes()
    with pytest.raises(ValueError, match="loss must stay finite"):
        train_localizer(run, root=phantoms, plan=replace(TINY, learning_rate=1e30, steps=6))
    assert run.localizer.read_bytes() == before
