"""Models of every task from their run folders and files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from safetensors import SafetensorError, safe_open

from tvseg.errors import UsageError
from tvseg.files import parse_json
from tvseg.inference.load import Model
from tvseg.inference.load import load as load_segmentation
from tvseg.runs.cards import METADATA_KEYS
from tvseg.runs.folder import RunFolder
from tvseg.runs.hub import WEIGHTS, local_copy

if TYPE_CHECKING:
    from torch import nn

    from tvseg.runs.cards import SegmentationCard
    from tvseg.verification.network import FaceCard

VERIFICATION = "verification"


@overload
def load(
    models: Sequence[str | Path] | None = ...,
    *,
    device: str | None = ...,
    checkpoint: str = ...,
    roi: str = ...,
    tta: bool = ...,
    shape: str = ...,
) -> Model: ...
@overload
def load(
    models: str | Path,
    *,
    device: str | None = ...,
    checkpoint: str = ...,
    roi: str = ...,
    tta: bool = ...,
    shape: str = ...,
) -> Any: ...
def load(
    models: str | Path | Sequence[str | Path] | None = None,
    *,
    device: str | None = None,
    checkpoint: str = "best",
    roi: str = "auto",
    tta: bool = False,
    shape: str = "free",
) -> Any:
    """Load one model, or several of segmentation whose probabilities are averaged.

    Args:
        models: Run folders, checkpoint files, folders of ``tvseg export`` (those of ``--to onnx``
            need no torch), or ids of such on the hub, which are fetched once; ``None`` for the
            starter weights, which come with the package.
        device: Where to compute: cuda, mps or cpu; ``None`` chooses.
        checkpoint: ``best`` or ``last`` of run folders.
        roi: Region of interest: ``auto``, found by the localizer of the first run that has one,
            else every picture is one; ``none``, every picture is one; ``ROW,COL,SIZE``.
        tta: Average with the answers to mirror images.
        shape: ``free``, masks as the network draws them; ``ellipse``, one for each structure.

    Returns:
        A :class:`tvseg.inference.load.Model`, called with photographs; of a run of ``tvseg faces
        train`` a :class:`tvseg.verification.embedder.FaceEmbedder`, whose ``embed`` takes pictures
        of faces.

    Raises:
        UserError: A file that is no checkpoint, models that do not agree, or a wrong ``roi`` or
            ``shape``.
        UsageError: ``roi``, ``tta``, ``shape`` or several models for faces.
    """
    given: Sequence[str | Path]
    given = [] if models is None else [models] if isinstance(models, str | Path) else [*models]
    if VERIFICATION in (task_of(local_copy(one)) for one in given):
        from tvseg.verification.embedder import FaceEmbedder

        if len(given) > 1:
            raise UsageError("models of faces are loaded one at a time, got a list of several")
        if roi != "auto" or tta or shape != "free":
            raise UsageError(
                "roi, tta and shape are for segmentation; faces take embed(..., flip=True)"
            )
        path = local_copy(given[0])
        if (path / WEIGHTS).is_file():
            path /= WEIGHTS
        return FaceEmbedder(path, device=device, checkpoint=checkpoint)
    return load_segmentation(
        models, device=device, checkpoint=checkpoint, roi=roi, tta=tta, shape=shape
    )


def task_of(path: Path) -> str | None:
    """Return the task that the weights of a folder or a file are for.

    Args:
        path: A run folder, an exported folder, a ``.safetensors`` file, or a run's last checkpoint.

    Returns:
        ``None`` where there are no such weights, or their card does not tell.
    """
    folder = path.parent.parent if path.suffix == ".pt" else path
    files = (RunFolder(folder).best, folder / WEIGHTS)
    file = next((one for one in files if one.is_file()), path)
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    try:
        with safe_open(file, framework="numpy") as content:
            metadata = content.metadata() or {}
    except SafetensorError:
        return None  # whoever reads the weights says what is wrong with them
    card = next((metadata[key] for key in METADATA_KEYS if key in metadata), "{}")
    tree = parse_json(card, f"{file}: card")
    return tree.get("task") if isinstance(tree, dict) else None


def load_trained(path: Path) -> "tuple[nn.Module, SegmentationCard | FaceCard]":
    """Return the network of a checkpoint of any task, in eval mode on the CPU, and its card.

    Args:
        path: A ``.safetensors`` file, or the last checkpoint of a run folder.

    Raises:
        UserError: No checkpoint, or a damaged one.
    """
    if task_of(path) == VERIFICATION:
        from tvseg.verification.network import load_face_network

        return load_face_network(path)
    from tvseg.runs.segmentation import load_network

    return load_network(path)
