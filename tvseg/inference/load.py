"""From a user's choices to a model that is called with photographs."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from PIL import Image

import tvseg
from tvseg.errors import UserError
from tvseg.inference.input.find import Photograph
from tvseg.inference.input.read import Pixels, read_photograph
from tvseg.inference.onnx_network import LOCALIZER, NETWORK, OnnxNetwork, load_onnx_localizer
from tvseg.inference.pipeline import Ensemble, Pipeline, Segmentation
from tvseg.inference.postprocessing import Postprocessing
from tvseg.inference.prediction import Prediction
from tvseg.inference.regions import Locator, fixed_window, parse_window, whole_pictures
from tvseg.localizer.locate import Localizer
from tvseg.remote_files import RemoteFile, as_file
from tvseg.runs.folder import RunFolder
from tvseg.runs.hub import WEIGHTS, local_copy
from tvseg.runs.starter import STARTER, STARTER_LOCALIZER

if TYPE_CHECKING:
    from tvseg.inference.torch_network import TorchNetwork
    from tvseg.runs.cards import SegmentationCard

    LoadedNetwork = TorchNetwork | OnnxNetwork

Source = str | os.PathLike[str] | RemoteFile | Image.Image | np.ndarray
"""A photograph: its file or URL, a picture of Pillow, or uint8 (H, W, 3)."""


class Model:
    """One or several networks and the pipeline that applies them.

    Attributes:
        pipeline: Applied to photographs.
        cards: Of the checkpoints, in order.
        localizer: File of the localizer that finds the disc, ``None`` where none does.
        about: What decides the output, as ``run.json`` keeps it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        cards: Sequence["SegmentationCard"] = (),
        localizer: Path | None = None,
        about: dict[str, Any] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.cards = tuple(cards)
        self.localizer = localizer
        self.about = about or {}

    @overload
    def __call__(self, photographs: Source) -> Prediction: ...

    @overload
    def __call__(self, photographs: list[Source]) -> list[Prediction]: ...

    def __call__(self, photographs: Source | list[Source]) -> Prediction | list[Prediction]:
        """Predict a photograph, or several as one batch.

        Args:
            photographs: A file or URL, a picture of Pillow, or uint8 (H, W, 3); or a list of these.

        Returns:
            A prediction, or a list of them in order.

        Raises:
            UserError: A photograph that cannot be read or is too small.
            OSError: A file that does not exist.
        """
        if not isinstance(photographs, list):
            return self([photographs])[0]
        read = [_read(one, number) for number, one in enumerate(photographs)]
        results = self.pipeline([pixels for _, (pixels, _) in read])
        return [
            Prediction(photograph, *picture, _sound(photograph, result), self.pipeline.encoding)
            for (photograph, picture), result in zip(read, results, strict=True)
        ]


def load(
    models: str | Path | Sequence[str | Path] | None = None,
    *,
    device: str | None = None,
    checkpoint: str = "best",
    roi: str = "auto",
    tta: bool = False,
    shape: str = "free",
    threads: int | None = None,
) -> Model:
    """Load one model of segmentation, or several whose probabilities are averaged.

    Args:
        models: As of :func:`tvseg.load`, and so are all but the last.
        device: Where to compute.
        checkpoint: Of run folders.
        roi: Region of interest.
        tta: Average with the answers to mirror images.
        shape: Of the masks, ``free`` or ``ellipse``, see
            :class:`tvseg.inference.postprocessing.Postprocessing`.
        threads: Of the CPU for each call of a network, also those that torch uses elsewhere in this
            process; ``None`` leaves them as they are. Callers with several threads want 1.

    Raises:
        UserError: A file that is no checkpoint, models that do not agree, or a wrong ``roi`` or
            ``shape``.
    """
    postprocessing = Postprocessing(shape=shape)
    given = None if roi in ("auto", "none") else parse_window(roi)
    models = STARTER if models is None else models
    named = [models] if isinstance(models, str | Path) else models
    paths = [local_copy(one) for one in named]
    files = [find_checkpoint(path, checkpoint) for path in paths]
    networks = [_load_network(file, device, threads) for file in files]
    ensemble = Ensemble(networks, mirror=tta)
    localizer = find_localizer(paths) if roi == "auto" else None
    locate: Locator = whole_pictures
    if given is not None:
        locate = fixed_window(given)
    elif localizer is not None:
        locate = load_localizer(localizer, device, threads=threads).locate
    about = {
        "models": [
            _about(Path(name), file, network.card)
            for name, file, network in zip(named, files, networks, strict=True)
        ],
        "localizer": None if localizer is None else _sha256(localizer),
        "structures": list(ensemble.encoding.structures),
        "encoding": {str(key): list(names) for key, names in ensemble.encoding.values.items()},
        "roi": roi,
        "tta": tta,
        "shape": shape,
        "device": str(networks[0].device),
        "tvseg": tvseg.__version__,
        **{name: text for network in networks for name, text in network.engine.items()},
    }
    return Model(
        Pipeline(ensemble, locate, postprocessing),
        cards=[one.card for one in networks],
        localizer=localizer,
        about=about,
    )


def _load_network(file: Path, device: str | None, threads: int | None) -> "LoadedNetwork":
    if file.suffix == ".onnx":
        return OnnxNetwork(file, device, threads=threads)
    from tvseg.inference.torch_network import TorchNetwork

    return TorchNetwork(file, device, threads=threads)


def find_checkpoint(model: Path, checkpoint: str = "best") -> Path:
    """Return the file of a run folder's or an exported folder's network, or the file itself.

    Args:
        model: A run folder, a folder of ``tvseg export --to onnx``, or a file of weights.
        checkpoint: ``best`` or ``last`` of a run folder.

    Raises:
        UserError: There is no such file.
    """
    if (model / NETWORK).is_file():
        return model / NETWORK
    if model.is_dir():
        run, exported = RunFolder(model), model / WEIGHTS
        if checkpoint == "best" and exported.is_file():
            return exported
        path = {"best": run.best, "last": run.last}[checkpoint]
        if not path.is_file():
            raise UserError(f"{model} must be a run folder with {path.relative_to(model)} in it")
        return path
    if not model.is_file():
        raise UserError(f"model must be a run folder or a checkpoint file; {model} does not exist")
    return model


def find_localizer(models: Sequence[Path]) -> Path | None:
    """Return the file of the first localizer in run folders and exported folders, if any."""
    files = [
        file
        for model in models
        for file in ((RunFolder(model).localizer, model / LOCALIZER) if model.is_dir() else ())
    ]
    files += [STARTER_LOCALIZER] * (STARTER in models)
    return next((file for file in files if file.is_file()), None)


def load_localizer(file: Path, device: str | None, *, threads: int | None = None) -> Localizer:
    """Load the localizer of a run folder, of an exported folder, or of the starter weights."""
    if file.suffix == ".onnx":
        return load_onnx_localizer(file, device, threads=threads)
    if file == STARTER_LOCALIZER:
        return Localizer.from_file(file, device)
    return Localizer.from_run(file.parent, device)


def _about(model: Path, file: Path, card: "SegmentationCard") -> dict[str, Any]:
    return {
        "name": model.name,
        "sha256": _sha256(file),
        "holdout": card.holdout,
        "epoch": card.epoch,
        "fingerprint": card.fingerprint,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(source: Source, number: int) -> tuple[Photograph, Pixels]:
    if isinstance(source, str | os.PathLike | RemoteFile):
        path = as_file(source)
        return Photograph(path.stem, path), read_photograph(path)
    pixels = np.asarray(source.convert("RGB") if isinstance(source, Image.Image) else source)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UserError(
            f"a photograph must be a file, a picture of Pillow or uint8 (H, W, 3), got "
            f"{pixels.dtype} {pixels.shape}"
        )
    name = f"photograph{number}"
    return Photograph(name, Path(f"{name}.png")), (pixels, "unknown")


def _sound(photograph: Photograph, result: Segmentation | UserError) -> Segmentation:
    if isinstance(result, UserError):
        raise UserError(f"{photograph.path}: {result}") from result
    return result
