"""Curves in MLflow, beside those of TensorBoard."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine

from tvseg.config import load_settings
from tvseg.errors import UserError
from tvseg.runs.folder import RunFolder
from tvseg.training.loop import TrainingLoop
from tvseg.training.train import train

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "aspp=depthwise",
        "train.epochs=2", "train.steps_per_epoch=6", "train.images_per_centre=1"]  # fmt: skip


def _train(root: Path, runs: Path, tracking: str, *keys: str, **how: Any) -> RunFolder:
    settings = load_settings(None, [*TINY, f"tracking={tracking}", *keys])
    return train(settings, holdout="A", root=root, runs=runs, **how)


def test_losses_scores_and_settings_are_in_the_database(phantoms: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra tracking")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = _train(phantoms, tmp_path / "runs", store)
    _train(phantoms, tmp_path / "runs", store, overwrite=True)
    client = mlflow.MlflowClient(store)
    kept = client.search_runs([client.get_experiment_by_name("tvseg").experiment_id])
    assert [one.info.status for one in kept] == ["FINISHED"] * len(kept)
    one = kept[-1]
    assert one.info.run_name.startswith(f"{run.path.name} ")
    assert one.data.params["train.steps_per_epoch"] == "6"
    assert one.data.params["centres.A.name"] == "Drishti-GS"
    losses = client.get_metric_history(one.info.run_id, "Loss")
    assert [point.step for point in losses] == [1, 11]
    scores = client.get_metric_history(one.info.run_id, "dice")
    assert [point.step for point in scores] == [1, 2]
    assert scores[1].value == pytest.approx(float(run.read_metrics()[1]["dice"]), abs=1e-6)
    assert any(run.tensorboard.iterdir())


def test_a_training_continues_with_other_workers(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra tracking")
    end_epoch = TrainingLoop._end_epoch

    def interrupted(loop: TrainingLoop, engine: Engine) -> None:
        end_epoch(loop, engine)
        raise KeyboardInterrupt

    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_end_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _train(phantoms, tmp_path / "runs", store)
    _train(phantoms, tmp_path / "runs", store, "train.workers=1", resume=True)
    client = mlflow.MlflowClient(store)
    (one,) = client.search_runs([client.get_experiment_by_name("tvseg").experiment_id])
    assert one.data.params["train.workers"] == "0"  # as it began
    assert [point.step for point in client.get_metric_history(one.info.run_id, "dice")] == [1, 2]


@pytest.mark.parametrize("store", ["mlruns", "sqlite:////proc/none/mlflow.db", "nothing://x"])
def test_a_store_that_cannot_be_used_is_one_line(
    store: str, phantoms: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra tracking")
    with pytest.raises(UserError, match="tracking must be the URI of a store") as caught:
        _train(phantoms, tmp_path, store)
    assert "\n" not in str(caught.value)


def test_without_mlflow_the_extra_is_named(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tvseg.extras.find_spec", lambda name: None if name == "mlflow" else find_spec(name)
    )
    with pytest.raises(UserError, match=r"mlflow is not installed: run pip install .tvseg.track"):
        _train(phantoms, tmp_path, "sqlite:///x.db")
