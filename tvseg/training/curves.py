"""Curves of a training: its loss at steps, the scores of each epoch."""

from typing import Any

from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import MLFlowHandler, TensorBoardStatsHandler

from tvseg.config import read_settings
from tvseg.errors import UserError, one_line
from tvseg.runs.folder import RunFolder
from tvseg.settings import RunSettings

EXPERIMENT = "tvseg"
"""Name under which MLflow lists the runs."""

STEPS_PER_POINT = 10
"""Steps from one loss in MLflow to the next, each of which is a commit to a database."""


def packages_for(settings: RunSettings) -> tuple[str, ...]:
    """Return the packages that write the curves of a training."""
    return ("tensorboard", "mlflow") if settings.tracking else ("tensorboard",)


def attach_curves(
    trainer: SupervisedTrainer,
    validator: SupervisedEvaluator,
    *,
    run: RunFolder,
    settings: RunSettings,
) -> None:
    """Write the curves of a training for TensorBoard and, if ``settings.tracking`` is set, MLflow.

    Args:
        trainer: Its ``state.output`` holds ``loss``.
        validator: Its metrics are those of the trainer's epoch.
        run: Gets TensorBoard's event files; the run in MLflow has its name and time.
        settings: Name the store; the parameters in it are those that the run began with.

    Raises:
        UserError: MLflow cannot use its store.
    """
    folder = str(run.tensorboard)
    TensorBoardStatsHandler(
        log_dir=folder, epoch_log=False, output_transform=lambda output: output["loss"]
    ).attach(trainer)
    TensorBoardStatsHandler(
        log_dir=folder,
        iteration_log=False,
        global_epoch_transform=lambda _: trainer.state.epoch,
    ).attach(validator)
    if settings.tracking:
        name = f"{run.path.name} {run.info()['started']}"  # the same when training continues
        _mlflow(
            settings.tracking,
            name,
            iteration_log=False,
            global_epoch_transform=lambda _: trainer.state.epoch,
        ).attach(validator)
        _mlflow(
            settings.tracking, name, epoch_log=False, close_on_complete=True,
            iteration_log=lambda _, step: step % STEPS_PER_POINT == 1,
            output_transform=lambda output: output["loss"],
            experiment_param=_flat(_as_begun(run).model_dump(mode="json")),
        ).attach(trainer)  # fmt: skip


def _as_begun(run: RunFolder) -> RunSettings:
    """Return the settings that a run began with: parameters in MLflow stay as they are."""
    return read_settings(run.path / "config.yaml", run.model)


def _mlflow(tracking: str, name: str, **how: Any) -> MLFlowHandler:
    """Return a handler whose store answers."""
    try:
        handler = MLFlowHandler(tracking, experiment_name=EXPERIMENT, run_name=name, **how)
        handler.client.search_experiments(max_results=1)
    except Exception as error:  # of MLflow, of its databases and of the network
        raise UserError(
            f"tracking must be the URI of a store that MLflow can use, such as "
            f"sqlite:///mlflow.db; got {tracking}: {one_line(error)[:300]}"
        ) from error
    return handler


def _flat(tree: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings as ``train.epochs`` and the like."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{before}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
