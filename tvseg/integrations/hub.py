"""A run as a folder for the Hugging Face hub, which this package and SMP load."""

from pathlib import Path

from huggingface_hub import EvalResult, HfApi, ModelCard, ModelCardData

import tvseg
from tvseg.config import dump_settings
from tvseg.errors import UserError
from tvseg.files import write_bytes, write_json, write_text
from tvseg.integrations.model_card import (
    INTENDED_USE,
    LICENCE_WORDS,
    LIMITS,
    data_words,
    public_card,
)
from tvseg.integrations.scores import SHOWN, CentreScore, read_scores, table_of
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.checkpoint import save_weights
from tvseg.runs.folder import RunFolder
from tvseg.runs.hub import WEIGHTS
from tvseg.runs.segmentation import load_network

_CARD = """---
{data}
---

# {name}

{aspp} network of [tvseg](https://pypi.org/project/tvseg/) {version} for {structures}.

```python
import tvseg

model = tvseg.load({source!r})
```

then `found = model("photo.jpg")` gives `found.masks`, `found.measurements` and `found.overlay()`.
The folder is one of segmentation_models_pytorch, too:
`import tvseg.integrations.smp; smp.from_pretrained({source!r})`.

## Intended use

{use}

## Scores

{scores}

## Data

{training} Epoch {epoch}, {chosen}.

## Licence

`{licence}`. {licence_words}

## Limits

{limits}
"""


def export_hub(run: RunFolder, out: Path, *, licence: str, source: str) -> None:
    """Write a finished run as a folder for the hub; paths of this machine are left out.

    Args:
        run: The run.
        out: An empty folder.
        licence: Identifier of the weights' licence on the hub, such as ``cc-by-4.0``.
        source: Folder, or id on the hub, that the card's snippets name.

    Raises:
        UserError: The run is not finished or damaged.
    """
    run.check_finished()
    network, card = load_network(run.best)
    card = public_card(card)
    network.save_pretrained(out)
    save_weights(out / WEIGHTS, network, card)
    write_text(out / "config.yaml", dump_settings(card.settings))
    about = {key: run.info()[key] for key in ("holdout", "seed", "fingerprint")}
    write_json(out / "run.json", about | {"tvseg": tvseg.__version__})
    if run.localizer.is_file():
        write_bytes(out / run.localizer.name, run.localizer.read_bytes())
    scores = read_scores(run)
    text = _card(run.path.name, card, scores, licence=licence, source=source)
    write_text(out / "README.md", text)
    ModelCard.load(out / "README.md")  # as the hub will read it


def push(folder: Path, repository: str) -> str:
    """Upload an exported folder to the hub, to a private repository if it is a new one.

    Returns:
        Address of the commit.

    Raises:
        UserError: The hub refuses, or cannot be reached.
    """
    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder))
    except Exception as error:  # network, permission, name
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder} is written, but was not pushed to {repository} "
            f"({type(error).__name__}: {reason}); log in with 'hf auth login' and upload it with "
            f"'hf upload {repository} {folder}'"
        ) from error


def _card(
    name: str, card: SegmentationCard, scores: list[CentreScore], *, licence: str, source: str
) -> str:
    data = ModelCardData(
        library_name="tvseg",
        license=licence,
        pipeline_tag="image-segmentation",
        tags=["tvseg", "medical", "fundus", "optic-disc", "segmentation-models-pytorch"],
        model_name=name,
        eval_results=[_result(score) for score in scores] or None,
    )
    return _CARD.format(
        data=data.to_yaml(),
        name=name,
        aspp=card.settings.aspp,
        version=tvseg.__version__,
        structures=" and ".join(card.settings.structures),
        source=source,
        use=INTENDED_USE,
        scores=table_of(scores),
        training=data_words(card),
        epoch=card.epoch,
        chosen=card.chosen,
        licence=licence,
        licence_words=LICENCE_WORDS,
        limits=LIMITS,
    )


def _result(score: CentreScore) -> EvalResult:
    return EvalResult(
        task_type="image-segmentation",
        dataset_type=score.centre.lower().replace(" ", "-"),
        dataset_name=score.centre,
        dataset_split=score.images,
        metric_type=score.metric,
        metric_name=f"{score.structure} {SHOWN[score.metric]}, {score.scoring} protocol",
        metric_value=round(score.mean, 4),
        metric_args={"n": score.count, "missed": score.missed, "date": score.date},
    )
