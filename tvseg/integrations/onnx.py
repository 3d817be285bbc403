"""A run as ONNX graphs, which tvseg and other programs run without torch."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.files import write_bytes, write_json
from tvseg.inference.load import find_checkpoint, find_localizer, load_localizer
from tvseg.inference.onnx_network import LOCALIZER, NETWORK, OnnxGraph
from tvseg.inference.torch_network import TorchNetwork
from tvseg.models.array_network import ArrayNetwork
from tvseg.runs.cards import METADATA_KEYS, Card
from tvseg.runs.starter import STARTER

OPSET = 18
MAX_DEVIATION = 1e-3
"""Largest difference of ONNX Runtime's logits from torch's, in their standard deviations."""


class _Graph(nn.Module):
    """uint8 (B, S, S, 3) -> logits; normalisation and layout are part of the graph."""

    def __init__(self, network: ArrayNetwork) -> None:
        super().__init__()
        self.network = network.prepare()
        self.normalisation = network.normalisation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(self.normalisation(images.permute(0, 3, 1, 2)))
        return logits


def export_onnx(model: Path | None, out: Path) -> list[Path]:
    """Write a run's network and localizer as graphs that take and return what tvseg's do.

    Each graph has the input ``images``, uint8 (batch, S, S, 3), RGB, and the output ``logits``,
    float32 (batch, K, S', S'). Its card is in the file's ``metadata_props`` under ``tvseg``, and
    beside it as JSON.

    Args:
        model: A run folder or a checkpoint file; ``None`` for the starter weights.
        out: Folder to write into.

    Returns:
        The graphs.

    Raises:
        UserError: No such run, or ONNX Runtime does not compute what torch does.
    """
    require("onnx", "onnxscript", "onnxruntime")
    model = model or STARTER
    file = find_checkpoint(model)
    if file.suffix == ".onnx":
        raise UserError(f"{model} is exported already; give a run folder or a checkpoint file")
    network = TorchNetwork(file, "cpu")
    contents: dict[str, tuple[bytes, Card]] = {
        NETWORK: (_graph(network, network.image_size, network.card), network.card)
    }
    if (localizer := find_localizer([model])) is not None:
        found = load_localizer(localizer, "cpu")
        seer: Any = found.network  # an ArrayNetwork
        contents[LOCALIZER] = (_graph(seer, found.card.image_size, found.card), found.card)
    for name, (content, about) in contents.items():
        write_bytes(out / name, content)
        write_json((out / name).with_suffix(".json"), about.model_dump(mode="json"))
    return [out / name for name in contents]


def _graph(network: ArrayNetwork, side_px: int, card: Card) -> bytes:
    """Return the ONNX file of a network, which is seen to compute what the network does."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(2, side_px, side_px, 3), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(
            _Graph(network).eval(),
            (torch.from_numpy(images),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEYS[0], json.dumps(card.model_dump(mode="json"))
    content: bytes = proto.SerializeToString()
    expected = network(images[:1])
    deviation = float(abs(OnnxGraph(content, type(card))(images[:1]) - expected).max())
    if not deviation <= MAX_DEVIATION * expected.std():  # NaN is not
        raise UserError(
            f"the network cannot be exported: ONNX Runtime's logits differ by {deviation:.2g} from "
            f"torch's, whose standard deviation is {expected.std():.2g}"
        )
    return content
