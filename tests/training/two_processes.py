"""Trainings that torchrun runs in two processes, for test_distributed.py.

Batch norm is frozen and nothing dropped, so that they compute what one process does.
"""

import os
import signal
import sys
from pathlib import Path

import pytest
from ignite.engine import Engine
from torch import nn

from tests.conftest import use_narrow_tvconv
from tvseg.config import load_settings
from tvseg.runs.first import first_network
from tvseg.runs.segmentation import network_of
from tvseg.training import prepare as prepare_module
from tvseg.training import train as train_module
from tvseg.training.distributed import joined, rank
from tvseg.training.loop import TrainingLoop

TINY = ["encoder_weights=none", "image_size=64", "precision=fp32", "train.epochs=1",
        "train.steps_per_epoch=2", "train.images_per_centre=4"]  # fmt: skip
WAYS = {"whole": ["name=whole"], "parts": ["name=parts", "train.micro_batches=2"]}
STOPPED = ["name=stopped"]
ODD = ["name=odd", "train.images_per_centre=3"]


def frozen(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
            layer.train = lambda mode=True, layer=layer: layer  # type: ignore[method-assign,misc]
        elif isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return network


def fit(root: Path, runs: Path, *overrides: str, resume: bool = False) -> None:
    settings = load_settings(None, [*TINY, *overrides])
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_tvconv(patch)
        for make in (first_network, network_of):
            patch.setattr(
                prepare_module,
                make.__name__,
                lambda *args, make=make, **keys: frozen(make(*args, **keys)),
            )
        train_module.train(settings, holdout="A", root=root, runs=runs, device="cpu", resume=resume)


def fit_and_stop(root: Path, runs: Path) -> int:
    """SIGTERM reaches one process alone, in the first of two steps; return the exit code."""
    show = TrainingLoop._show

    def stop(self: TrainingLoop, engine: Engine, *rest: object) -> None:
        show(self, engine, *rest)  # type: ignore[arg-type]
        if engine.state.iteration == 1 and rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingLoop, "_show", stop)
        return exit_code(root, runs, *STOPPED)


def exit_code(root: Path, runs: Path, *overrides: str) -> int:
    """Fit, and return the exit code that ends it: of an error in one process, of silence in two."""
    try:
        fit(root, runs, *overrides)
    except ValueError as error:
        print(f"process {rank()}: {error}", flush=True)
        return int(error.exit_code)  # type: ignore[attr-defined]
    except SystemExit as end:
        return int(str(end.code))
    return 0


if __name__ == "__main__":
    data, out = map(Path, sys.argv[1:])
    with joined("cpu"):
        for way in WAYS.values():
            fit(data, out, *way)
        assert fit_and_stop(data, out) == 4
        fit(data, out, *STOPPED, resume=True)
        assert exit_code(data, out, *ODD) == 1
