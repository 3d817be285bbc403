import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from tvseg.config import load_settings
from tvseg.runs.checkpoint import load_training
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network
from tvseg.settings import SegmentationSettings
from tvseg.training import prepare as prepare_module
from tvseg.training.fit import TrainingDiverged
from tvseg.training.loop import TrainingLoop
from tvseg.training.train import train

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=2",
        "train.steps_per_epoch=2", "train.images_per_centre=2", "train.drop_at=0.5"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


def _tiny(*overrides: str) -> SegmentationSettings:
    return load_settings(None, [*TINY, *overrides])


def _weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return dict(load_training(run.last)["network"])


@pytest.fixture(scope="module")
def finished(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    runs = tmp_path_factory.mktemp("runs")
    return train(_tiny("aspp=dense"), holdout="A", root=phantoms, runs=runs, command="as typed")


def test_the_run_folder_is_complete(finished: RunFolder) -> None:
    assert finished.path.name == "dense-holdout-A-seed0"
    names = {
        p.relative_to(finished.path).as_posix() for p in finished.path.rglob("*") if p.is_file()
    }
    assert names >= {
        "config.yaml",
        "run.json",
        "splits.json",
        "metrics.csv",
        "checkpoints/last.pt",
        "checkpoints/best.safetensors",
    }
    assert any(name.startswith("tb/") for name in names)
    info = finished.info()
    assert info["command"] == "as typed"
    assert info["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert info["finished"]
    assert info["chosen"] == "selected on sources"
    assert finished.settings() == _tiny("aspp=dense")


def test_splits_name_every_image_once(finished: RunFolder) -> None:
    splits = json.loads((finished.path / "splits.json").read_text())
    assert all(name.startswith("A/") for name in splits["target"])
    assert not any(name.startswith("A/") for name in splits["train"] + splits["validation"])
    assert len({name for names in splits.values() for name in names}) == 24


def test_metrics_have_a_row_an_epoch(finished: RunFolder) -> None:
    rows = finished.read_metrics()
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        dice = (float(row["dice_cup"]) + float(row["dice_disc"])) / 2
        assert float(row["dice"]) == pytest.approx(dice, abs=2e-6)
        assert float(row["loss"]) > 0
    assert float(rows[0]["learning_rate"]) == pytest.approx(1e-3)  # of its last step, no later one
    assert float(rows[1]["learning_rate"]) == pytest.approx(2e-4)


def test_checkpoints_rebuild_their_network_alone(finished: RunFolder) -> None:
    best, card = load_network(finished.best)
    last, last_card = load_network(finished.last)
    assert card.holdout == last_card.holdout == "A"
    assert card.settings == finished.settings()
    assert last_card.epoch == 2
    assert last_card.chosen == "last epoch"
    assert card.fingerprint == finished.info()["fingerprint"]
    assert not best.training
    of_best, of_last = best.state_dict(), last.state_dict()
    assert all(torch.equal(of_best[name], of_last[name]) for name in of_last) == (card.epoch == 2)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    finished: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    again = train(_tiny("aspp=dense"), holdout="A", root=phantoms, runs=tmp_path)
    other = train(_tiny("aspp=dense", "seed=1"), holdout="A", root=phantoms, runs=tmp_path)
    first, second, third = (_weights(run) for run in (finished, again, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_the_target_centre_changes_nothing(
    finished: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    """The honest protocol: other pixels and masks in the held-out centre, the same run."""
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    rng = np.random.default_rng(0)
    for path in (root / "Domain1").rglob("image/*.png"):
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(path)
    for path in (root / "Domain1").rglob("mask/*.png"):
        Image.fromarray(np.zeros((96, 96), np.uint8)).save(path)
    other = train(_tiny("aspp=dense"), holdout="A", root=root, runs=tmp_path / "runs")
    first, second = _weights(finished), _weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)
    for column in ("loss", "dice"):
        assert [r[column] for r in other.read_metrics()] == [
            r[column] for r in finished.read_metrics()
        ]
    assert other.info()["best_epoch"] == finished.info()["best_epoch"]
    assert other.info()["fingerprint"] != finished.info()["fingerprint"]


def test_a_run_goes_on_with_the_same_data_only(
    finished: RunFolder, phantoms: Path, tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(finished.path.parent, tmp_path / "runs"))
    run = RunFolder(runs / finished.path.name)
    run.write_info(finished=None)
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    path = next((root / "Domain2").rglob("train/ROIs/image/*.png"))
    Image.fromarray(np.array(Image.open(path)) // 2).save(path)
    with pytest.raises(ValueError, match=r"cannot resume .*: fingerprint changed from"):
        train(_tiny("aspp=dense"), holdout="A", root=root, runs=runs, resume=True)
    again = train(_tiny("aspp=dense"), holdout="A", root=phantoms, runs=runs, resume=True)
    assert again.is_finished()  # killed between its last checkpoint and its end
    assert again.info()["train_seconds"] == finished.info()["train_seconds"]


def test_a_finished_run_is_not_trained_again(finished: RunFolder, phantoms: Path) -> None:
    before = finished.last.stat().st_mtime_ns
    train(_tiny("aspp=dense"), holdout="A", root=phantoms, runs=finished.path.parent, resume=True)
    assert finished.last.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["renamed.tif", "renamed.jpg"])
def test_a_target_image_among_the_sources_stops_training(
    phantoms: Path, tmp_path: Path, name: str
) -> None:
    """Planted under another name: the same pixels in another format, or their lossy copy."""
    root = Path(shutil.copytree(phantoms, tmp_path / "root"))
    leaked = sorted((root / "Domain1" / "test" / "ROIs" / "image").iterdir())[0]
    sources = root / "Domain3" / "train" / "ROIs"
    Image.open(leaked).save(sources / "image" / name, quality=90)
    mask = leaked.parent.parent / "mask" / leaked.name
    shutil.copy(mask, sources / "mask" / "renamed.png")
    with pytest.raises(ValueError, match=r"held-out centre must share no picture.*C/train/renamed"):
        train(_tiny(), holdout="A", root=root, runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_other_settings_do_not_enter_a_run_folder(finished: RunFolder, phantoms: Path) -> None:
    with pytest.raises(ValueError, match=r"other settings .* name=NAME"):
        train(
            _tiny("aspp=dense", "train.epochs=3"),
            holdout="A",
            root=phantoms,
            runs=finished.path.parent,
            resume=True,
        )


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = prepare_module.first_network

    def ruined(settings: SegmentationSettings, first: object) -> torch.nn.Module:
        network = make(settings, first)
        calls = {"n": 0}

        def spoil(module: torch.nn.Module, inputs: object, logits: torch.Tensor) -> torch.Tensor:
            calls["n"] += module.training
            return logits * float("nan") if calls["n"] == 3 else logits

        network.register_forward_hook(spoil)
        return network

    monkeypatch.setattr(prepare_module, "first_network", ruined)
    with pytest.raises(TrainingDiverged) as caught:
        train(_tiny("aspp=dense"), holdout="A", root=phantoms, runs=tmp_path)
    message = str(caught.value)
    assert "got nan in step 3 of 4 on images" in message
    assert message.count("/train/phantom-") == 6
    assert "last.pt (epoch 1)" in message
    _, card = load_network(tmp_path / "dense-holdout-A-seed0" / "checkpoints" / "last.pt")
    assert card.epoch == 1


def test_ruined_weights_are_not_kept(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_epoch = TrainingLoop._end_epoch

    def spoil(self: TrainingLoop, engine: Engine) -> None:
        if engine.state.epoch == 2:
            next(self.network.parameters()).data[0] = float("inf")
        whole_epoch(self, engine)

    monkeypatch.setattr(TrainingLoop, "_end_epoch", spoil)
    with pytest.raises(TrainingDiverged, match=r"weights must stay finite, 1 .*\(epoch 1\)"):
        train(_tiny("aspp=dense"), holdout="A", root=phantoms, runs=tmp_path)
    _, card = load_network(tmp_path / "dense-holdout-A-seed0" / "checkpoints" / "last.pt")
    assert card.epoch == 1


@pytest.mark.parametrize("images", [1, 2])
def test_a_step_or_part_of_one_image_is_refused(
    images: int, phantoms: Path, tmp_path: Path
) -> None:
    two = "centres={A: {name: a, folder: Domain1}, B: {name: b, folder: Domain2}}"
    plan = [f"train.images_per_centre={images}", f"train.micro_batches={images}"]
    settings = _tiny("aspp=dense", two, *plan)
    with pytest.raises(ValueError, match="at least 2 images"):
        train(settings, holdout="A", root=phantoms, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_tvconv_in_bf16_learns(phantoms: Path, tmp_path: Path) -> None:
    run = train(
        _tiny(
            "precision=bf16",
            "train.epochs=3",
            "train.steps_per_epoch=3",
            "train.images_per_centre=1",
        ),  # slow without bf16 in the processor
        holdout="none",
        root=phantoms,
        runs=tmp_path,
    )
    losses = [float(row["loss"]) for row in run.read_metrics()]
    assert losses[-1] < 0.8 * losses[0]
    assert run.info()["precision"] == "bfloat16"
    affinities = [v for k, v in _weights(run).items() if k.endswith("affinity")]
    assert len(affinities) == 3
    assert all(a.std() > 0 for a in affinities)


def test_two_trainings_do_not_share_a_folder(phantoms: Path, tmp_path: Path) -> None:
    run = RunFolder.of(tmp_path, _tiny("aspp=dense"), "A")
    with run.lock(), pytest.raises(ValueError, match="is being written by another training"):
        train(_tiny("aspp=dense"), holdout="A", root=phantoms, runs=tmp_path)
    with run.lock():
        pass


def test_dynamic_kernels_are_trained_at_a_falling_temperature(
    phantoms: Path, tmp_path: Path
) -> None:
    run = train(_tiny("aspp=dyconv_dw"), holdout="A", root=phantoms, runs=tmp_path)
    stored = [value for name, value in _weights(run).items() if name.endswith("temperature")]
    assert [round(value.item(), 3) for value in stored] == [27.1] * 3  # of the second epoch
    network, card = load_network(run.best)
    kept = network.state_dict()["decoder.aspp.wide.0.1.temperature"].item()
    assert round(kept, 3) == {1: 30.0, 2: 27.1}[card.epoch]
