"""Networks that ``tvseg export --to onnx`` wrote, run by ONNX Runtime without torch."""

from pathlib import Path
from typing import Generic

import numpy as np

from tvseg.data.centres import output_encoding
from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.localizer.card import LocalizerCard
from tvseg.localizer.locate import Localizer
from tvseg.runs.cards import METADATA_KEYS, CardT, SegmentationCard, read_card

NETWORK = "network.onnx"
"""The segmentation network in an exported folder."""

LOCALIZER = "localizer.onnx"
"""The localizer in an exported folder, where the run has one."""

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""Name of a device -> what ONNX Runtime calls it."""


class OnnxGraph(Generic[CardT]):
    """An exported graph: uint8 (B, S, S, 3) -> logits float32 (B, K, S', S').

    Args:
        source: The file, or its content.
        kind: Class of the card that is in the file.
        device: cpu or cuda; ``None`` for cpu.
        threads: Of the CPU for each call; ``None`` for all.

    Attributes:
        card: Of the network.
        device: Where it computes.
        alone: Whether each image is computed by itself, as on a CPU.

    Raises:
        UserError: Not such a file, a damaged one, or a device that ONNX Runtime lacks.
    """

    def __init__(
        self,
        source: Path | bytes,
        kind: type[CardT],
        device: str | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        path = source if isinstance(source, Path) else Path("the new graph")
        require("onnxruntime")
        import onnxruntime

        self.device = device or "cpu"
        self.alone = self.device == "cpu"
        able = onnxruntime.get_available_providers()
        if PROVIDERS.get(self.device) not in able:
            there = [name for name, provider in PROVIDERS.items() if provider in able]
            raise UserError(
                f"device of an exported network must be out of {', '.join(there)} with this ONNX "
                f"Runtime, got {device!r}"
            )
        self.engine = {"onnxruntime": onnxruntime.__version__}
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = threads or 0
        # by default idle threads spin, which takes the cores from others
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(
                source, options, providers=[PROVIDERS[self.device]]
            )
        except Exception as error:  # its errors have no class of their own
            reason = " ".join(str(error).split())
            raise UserError(f"{path} is damaged or no ONNX file ({reason:.150})") from error
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEYS[0])
        if text is None:
            raise UserError(f"{path} must be of tvseg export --to onnx; it has no card")
        self.card = read_card(kind, text, path)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return logits, float32 (B, K, S', S'), of images, uint8 (B, S, S, 3)."""
        if self.alone:
            return np.concatenate([self._compute(image[None]) for image in images])
        return self._compute(images)

    def _compute(self, images: np.ndarray) -> np.ndarray:
        (logits,) = self.session.run(None, {"images": np.ascontiguousarray(images)})
        found: np.ndarray = logits
        return found


class OnnxNetwork(OnnxGraph[SegmentationCard]):
    """A segmentation network, with what it takes to use it: see :class:`~.ensemble.Network`.

    Args:
        path: The file.
        device: cpu or cuda; ``None`` for cpu.
        threads: Of the CPU for each call; ``None`` for all.

    Raises:
        UserError: Not such a file, a damaged one, or a device that ONNX Runtime lacks.
    """

    def __init__(
        self, path: Path, device: str | None = None, *, threads: int | None = None
    ) -> None:
        super().__init__(path, SegmentationCard, device, threads=threads)
        self.image_size = self.card.settings.image_size
        self.encoding = output_encoding(self.card.settings)
        _check_form(self, path, side_px=self.image_size, channels=len(self.encoding.structures))


def load_onnx_localizer(
    path: Path, device: str | None = None, *, threads: int | None = None
) -> Localizer:
    """Return the localizer of an exported file.

    Raises:
        UserError: Not such a file, a damaged one, or a device that ONNX Runtime lacks.
    """
    graph = OnnxGraph(path, LocalizerCard, device, threads=threads)
    _check_form(graph, path, side_px=graph.card.image_size, channels=1)
    return Localizer(graph, graph.card)


def _check_form(graph: OnnxGraph[CardT], path: Path, *, side_px: int, channels: int) -> None:
    """Raise UserError unless a graph takes and returns what its card says."""
    forms = [
        (value.name, value.type, value.shape[1:])
        for value in (*graph.session.get_inputs(), *graph.session.get_outputs())
    ]
    wanted = ("images", "tensor(uint8)", [side_px, side_px, 3])
    if (
        len(forms) != 2
        or forms[0] != wanted
        or forms[1][1] != "tensor(float)"
        or forms[1][2][:1] != [channels]
    ):
        raise UserError(
            f"{path} is damaged: its card wants images of {side_px} px and {channels} "
            f"structures, its graph has {forms}"
        )
