"""A run as a MONAI bundle, whose configs ``python -m monai.bundle run`` executes."""

import io
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import tvseg
from tvseg.files import read_json, write_bytes, write_json, write_text
from tvseg.integrations.model_card import (
    INTENDED_USE,
    LICENCE_WORDS,
    LIMITS,
    data_words,
    public_card,
)
from tvseg.integrations.monai_bundle import CARD, LOCALIZER, WEIGHTS
from tvseg.integrations.scores import SHOWN, CentreScore, read_scores, table_of
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.folder import RunFolder
from tvseg.runs.segmentation import load_network, tvconv_options

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)

_PACKAGES = (
    "torchvision",
    "pytorch-ignite",
    "segmentation-models-pytorch",
    "timm",
    "scipy",
    "numba",
    "opencv-python-headless",
)

_README = """# {name}

{description}

Needs `pip install "tvseg[bundle]"`. In this folder:

```bash
python -m monai.bundle run --config_file configs/inference.json --dataset_dir PHOTOGRAPHS
python -m monai.bundle run --config_file configs/evaluate.json --dataset_dir DATA
python -m monai.bundle run --config_file configs/train.json --dataset_dir DATA
```

`PHOTOGRAPHS` is a folder of pictures; masks go to `outlined/masks`. `DATA` has the centres' folders
as `tvseg train` takes them; a training's weights go to `models/trained.pt`.

## Intended use

{use}

## Scores

{scores}

## Data

{data}

## Licence

`{licence}`. {licence_words}

## Limits

{limits}
"""


def export_bundle(run: RunFolder, out: Path, *, licence: str) -> None:
    """Write a finished run as a MONAI bundle; paths of this machine are left out.

    Args:
        run: The run.
        out: An empty folder.
        licence: Of the weights.

    Raises:
        UserError: The run is not finished or damaged.
    """
    run.check_finished()
    network, card = load_network(run.best)
    card, scores = public_card(card), read_scores(run)
    buffer = io.BytesIO()
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    torch.save(state, buffer)
    write_bytes(out / WEIGHTS, buffer.getvalue())
    if run.localizer.is_file():
        write_bytes(out / LOCALIZER, run.localizer.read_bytes())
    write_text(out / CARD, card.model_dump_json(indent=2))
    metadata = metadata_of(run.path.name, card, scores, licence=licence)
    write_json(out / "configs" / "metadata.json", metadata)
    for name, config in configs_of(card).items():
        write_json(out / "configs" / name, config)
    text = _README.format(
        name=run.path.name,
        description=metadata["description"],
        use=INTENDED_USE,
        scores=table_of(scores),
        data=data_words(card),
        licence=licence,
        licence_words=LICENCE_WORDS,
        limits=LIMITS,
    )
    write_text(out / "docs" / "README.md", text)
    write_text(out / "docs" / "data_license.txt", f"{licence}\n\n{LICENCE_WORDS}\n")
    write_text(out / "LICENSE", f"{licence}\n\n{LICENCE_WORDS}\n")


def metadata_of(
    name: str, card: SegmentationCard, scores: list[CentreScore], *, licence: str
) -> dict[str, Any]:
    """Return the content of ``metadata.json``."""
    settings = card.settings
    today = datetime.now(UTC).date().isoformat()
    structures = " and ".join(settings.structures)
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported {today}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "tvseg": tvseg.__version__,
            **{package: version(package) for package in _PACKAGES},
        },
        "name": name,
        "task": f"Segmentation of {structures} in colour fundus photographs",
        "description": f"DeepLabV3+ with {settings.aspp} branches ({settings.encoder}) for "
        f"{structures}; epoch {card.epoch}, {card.chosen}.",
        "authors": "The user of tvseg who trained it",
        "copyright": f"Weights: {licence}. {LICENCE_WORDS}",
        "data_source": data_words(card),
        "data_type": "RGB photographs",
        "data_license": licence,
        "image_classes": "RGB, normalised by mean and std of configs/card.json",
        "pred_classes": f"logits of {structures}, not exclusive",
        "eval_metrics": {
            f"{one.centre}, {one.structure}, {SHOWN[one.metric]}, {one.scoring}": one.mean
            for one in scores
        },
        "intended_use": INTENDED_USE,
        "references": [
            "Chen et al., TVConv: Efficient Translation Variant Convolution for Layout-aware "
            "Visual Processing, CVPR 2022"
        ],
        "network_data_format": {
            "inputs": {
                "image": _tensor(card, "magnitude", ["red", "green", "blue"])
                | {"modality": "colour fundus photograph"}
            },
            "outputs": {
                "pred": _tensor(card, "classes", [f"logit of {s}" for s in settings.structures])
            },
        },
    }


def _tensor(card: SegmentationCard, kind: str, channels: list[str]) -> dict[str, Any]:
    return {
        "type": "image",
        "format": kind,
        "num_channels": len(channels),
        "spatial_shape": [card.settings.image_size] * 2,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": False,
        "channel_def": {str(index): name for index, name in enumerate(channels)},
    }


def configs_of(card: SegmentationCard) -> dict[str, dict[str, Any]]:
    """Return the configs by file name: those of the folder ``bundle``, and a card's own values."""
    settings = card.settings
    network = {
        "network_def": {
            "_target_": "tvseg.models.build_model",
            "aspp": settings.aspp,
            "aspp_dilation": settings.aspp_dilation,
            "encoder": settings.encoder,
            "image_size": settings.image_size,
            "classes": len(settings.structures),
            **tvconv_options(settings),
        }
    }
    kept = ("epochs", "steps_per_epoch", "images_per_centre", "learning_rate")
    plan = {key: getattr(settings.train, key) for key in kept}
    folder = Path(__file__).parent / "bundle"
    return {
        path.name: network | (plan if path.stem == "train" else {}) | read_json(path)
        for path in sorted(folder.glob("*.json"))
    }
