"""Images are normalised as the encoder's weights expect, from the first step to the checkpoint."""

import gc
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tvseg.config import load_settings
from tvseg.data.normalisation import Normalisation
from tvseg.models import build_model
from tvseg.runs.first import FirstWeights, normalisation_of
from tvseg.runs.segmentation import load_network
from tvseg.training.loop import TrainingLoop
from tvseg.training.train import train

EXPECTED = {"mean": [0.5, 0.25, 0.125], "std": [0.5, 0.5, 0.25]}
WANTED = Normalisation((127.5, 63.75, 31.875), (127.5, 127.5, 63.75))


def test_statistics_of_weights_are_used_kept_and_handed_on(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "encoder" / "model.safetensors"
    weights.parent.mkdir()
    encoder = build_model(aspp="dense", encoder="mobilenet_v2").encoder
    save_file(encoder.state_dict(), weights)
    (weights.parent / "config.json").write_text(json.dumps(EXPECTED))
    settings = load_settings(
        None,
        ["aspp=dense", "encoder=mobilenet_v2", f"encoder_weights={weights}", "image_size=64",
         "precision=fp32", "train.epochs=2", "train.steps_per_epoch=1",
         "train.images_per_centre=2"],
    )  # fmt: skip
    seen: list[Normalisation] = []
    run_to_end, end_epoch = TrainingLoop.run_to_end, TrainingLoop._end_epoch

    def watched(loop: TrainingLoop, kept: object) -> None:
        seen.append(loop.numerics.normalisation)
        run_to_end(loop, kept)  # type: ignore[arg-type]

    def interrupted(loop: TrainingLoop, engine: object) -> None:
        end_epoch(loop, engine)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLoop, "run_to_end", watched)
    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "_end_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(settings, holdout="A", root=phantoms, runs=tmp_path)
    gc.collect()  # the network that was interrupted
    shutil.rmtree(weights.parent)
    run = train(settings, holdout="A", root=phantoms, runs=tmp_path, resume=True)
    assert seen == [WANTED, WANTED]
    assert load_network(run.best)[1].normalisation == WANTED
    begun = settings.model_copy(update={"init": str(run.best)})
    assert normalisation_of(begun, FirstWeights.of(begun)) == WANTED
