"""Networks that are saved in the layout of the Hugging Face hub, with a card that is true."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from safetensors import SafetensorError
from segmentation_models_pytorch.base import SegmentationModel

from tvseg.errors import UserError

LICENCE = "other"
"""Of saved weights unless stated: they derive from photographs whose terms are their owners'."""

_CARD = """---
{data}
---

# {name}

## Load

```python
import segmentation_models_pytorch as smp
import tvseg.integrations.smp  # pip install tvseg

model = smp.from_pretrained({source!r})
```

## Parameters

```json
{parameters}
```

## Metrics

{metrics}

## Dataset

{dataset}
"""


class HubModel(SegmentationModel):  # type: ignore[misc]
    """A segmentation model whose saved folder loads offline and states its licence.

    ``from_pretrained`` of segmentation_models_pytorch needs ``tvseg.integrations.smp``.
    """

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        license: str = LICENCE,  # noqa: A002  (the hub's name)
        repo_id: str | None = None,
        config: dict[str, Any] | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> str | None:
        """Write weights, parameters and card into a folder.

        Args:
            save_directory: The folder.
            license: Identifier of the weights' licence on the hub.
            repo_id: Repository on the hub, which the card's snippet names.
            config: Parameters of the constructor; ``None`` for this network's.
            model_card_kwargs: Arguments of :meth:`generate_model_card`.
            **options: ``dataset``, ``metrics`` and what ``ModelHubMixin.save_pretrained`` takes.

        Returns:
            Address of the commit where ``push_to_hub`` is set.

        Raises:
            UserError: The weights cannot be written.
        """
        given = {"license": license, "source": repo_id or str(save_directory)}
        parameters = (self.config if config is None else config) | {
            "encoder_weights": None,  # all weights are in the file: none are to be fetched
            "_model_class": type(self).__name__,
        }
        try:
            address: str | None = super().save_pretrained(
                save_directory,
                config=parameters,
                repo_id=repo_id,
                model_card_kwargs=given | (model_card_kwargs or {}),
                **options,
            )
        except SafetensorError as error:  # also where the disk is full
            raise UserError(f"{save_directory} cannot be written: {error}") from error
        return address

    def push_to_hub(
        self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **options: Any
    ) -> str:
        """Upload to a repository of the hub; see ``PyTorchModelHubMixin.push_to_hub``."""
        card = {"source": repo_id} | (model_card_kwargs or {})
        address: str = super().push_to_hub(repo_id, model_card_kwargs=card, **options)
        return address

    def generate_model_card(
        self,
        *,
        source: str,
        license: str = LICENCE,  # noqa: A002  (the hub's name)
        dataset: str | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> ModelCard:
        """Return the card of the saved network.

        Args:
            source: Folder or repository that the snippet loads.
            license: Identifier of the weights' licence on the hub.
            dataset: Name of the data that it was trained on.
            metrics: Name -> value.
        """
        data = ModelCardData(
            library_name="segmentation-models-pytorch",
            license=license,
            pipeline_tag="image-segmentation",
            tags=["segmentation-models-pytorch", "semantic-segmentation", "tvseg"],
        )
        public = {key: value for key, value in self.config.items() if not key.startswith("_")}
        shown = json.dumps(metrics, indent=2) if metrics else None
        return ModelCard(
            _CARD.format(
                data=data.to_yaml(),
                name=type(self).__name__,
                source=source,
                parameters=json.dumps(public | {"encoder_weights": None}, indent=2),
                metrics=f"```json\n{shown}\n```" if shown else "Not stated.",
                dataset=dataset or "Not stated.",
            )
        )
