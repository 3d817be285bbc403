"""An exported network in 8-bit integers: smaller, and faster where the processor has them."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tvseg.errors import UserError
from tvseg.files import read_json, write_bytes, write_json
from tvseg.inference.input.find import Photograph
from tvseg.inference.load import Model, load
from tvseg.inference.onnx_network import NETWORK
from tvseg.inference.pipeline import Ensemble, Network
from tvseg.metrics import dice

MAX_PHOTOGRAPHS = 200
"""For calibration; more teach nothing."""


class _Recorder:
    """Calls a network and keeps what it is asked."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.image_size = network.image_size
        self.encoding = network.encoding
        self.alone = network.alone
        self.seen: list[np.ndarray] = []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.seen += list(images)
        return self.network(images)


def quantise(folder: Path, photographs: Sequence[Photograph]) -> dict[str, float]:
    """Replace the network of an exported folder by one of 8-bit integers.

    Weights are rounded per channel, activations by their range on the photographs. What this
    changes is measured on the same photographs, and kept in ``network.json``.

    Args:
        folder: Of :func:`~tvseg.integrations.onnx.export_onnx`.
        photographs: Like those that the network will see; at most the first 200 are used.

    Returns:
        Mean Dice of each structure's mask with that of the unrounded network.

    Raises:
        UserError: A photograph that cannot be read, or none that shows a structure.
    """
    used = [photograph.path for photograph in photographs[:MAX_PHOTOGRAPHS]]
    model = load(folder)
    recorder = _Recorder(model.pipeline.ensemble.networks[0])
    model.pipeline = replace(model.pipeline, ensemble=Ensemble([recorder]))
    before = [model(path).placed for path in used]
    if not any(placed.masks.any() for placed in before):
        raise UserError("the photographs for --int8 must show the structures; none was found")
    write_bytes(folder / NETWORK, _rounded(folder / NETWORK, recorder.seen))
    rounded: Model = load(folder)
    scores: dict[str, list[float]] = {name: [] for name in rounded.pipeline.encoding.structures}
    for path, placed in zip(used, before, strict=True):
        pairs = zip(rounded(path).placed.whole(), placed.whole(), strict=True)
        for values, (mask, other) in zip(scores.values(), pairs, strict=True):
            values.append(dice(mask, other))
    means = {name: float(np.nanmean(values)) for name, values in scores.items()}
    about = (folder / NETWORK).with_suffix(".json")
    kept: dict[str, Any] = read_json(about)
    write_json(about, kept | {"int8": {"photographs": len(used), "dice_with_float": means}})
    return means


def _rounded(path: Path, images: Sequence[np.ndarray]) -> bytes:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([{"images": image[None]} for image in images])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as temporary:
        prepared, made = Path(temporary) / "prepared.onnx", Path(temporary) / NETWORK
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            made,
            Reader(),
            op_types_to_quantize=["Conv"],
            per_channel=True,
            reduce_range=True,  # else sums overflow on processors without VNNI
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return made.read_bytes()
