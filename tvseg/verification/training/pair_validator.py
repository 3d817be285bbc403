"""The validation of a face training: the accuracy of a set of pairs after each epoch."""

from typing import Any

import numpy as np
import torch
from ignite.metrics import Metric
from monai.engines import SupervisedEvaluator
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from tvseg.device import autocast
from tvseg.training.distributed import gathered, own_places
from tvseg.training.fit import Batch, Numerics
from tvseg.verification.data.pictures import PairSet
from tvseg.verification.scoring import honest


class PairAccuracy(Metric):  # type: ignore[misc]  # ignite has no types
    """Accuracy over folds of the pairs of a set, from the embeddings of all its pictures.

    Args:
        pairs: The set; its pictures come in order, to each process its share.
    """

    def __init__(self, pairs: PairSet) -> None:
        self.pairs = pairs
        super().__init__(lambda output: output["pred"])

    def reset(self) -> None:
        """Forget all embeddings."""
        self.embedded: list[torch.Tensor] = []

    def update(self, output: torch.Tensor) -> None:
        """Keep the embeddings of a batch."""
        self.embedded.append(output.cpu())

    def compute(self) -> float:
        """Return the accuracy, 0 to 1."""
        features = np.stack(gathered([*torch.cat(self.embedded).double().numpy()]))
        pairs = self.pairs
        left, right = features[pairs.left], features[pairs.right]
        return honest(left, right, pairs.same, pairs.fold).mean


def make_pair_validator(
    network: nn.Module, pairs: PairSet, *, numerics: Numerics
) -> SupervisedEvaluator:
    """Return an engine that computes ``accuracy``, the mean over folds of a set of pairs.

    Args:
        network: Pictures -> embeddings.
        pairs: The set.
        numerics: Device, autocast type, normalisation.
    """
    pictures = torch.from_numpy(pairs.pixels).permute(0, 3, 1, 2)  # (N, 3, S, S)

    def update(engine: SupervisedEvaluator, batch: Any) -> Batch:
        engine.network.eval()
        images = numerics.normalisation(batch[0].to(numerics.device))
        with torch.inference_mode(), autocast(numerics.device, numerics.autocast):
            return {"pred": engine.inferer(images, engine.network).float()}

    return SupervisedEvaluator(
        device=numerics.device,
        val_data_loader=DataLoader(
            Subset(TensorDataset(pictures), own_places(len(pictures))),
            batch_size=256,
            generator=torch.Generator(),
        ),
        network=network,
        iteration_update=update,
        key_val_metric={"accuracy": PairAccuracy(pairs)},
        decollate=False,
    )
