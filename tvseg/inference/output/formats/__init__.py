"""Files that a prediction leaves, by format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tvseg.errors import UserError
from tvseg.inference.output.formats.labels import mask_png, nifti, uncertainty_png
from tvseg.inference.output.formats.overlay import overlay_png
from tvseg.inference.output.formats.polygons import geojson, labelme
from tvseg.inference.output.formats.refuge import refuge_bmp
from tvseg.inference.prediction import Prediction

COCO = "coco"
"""The format of which a run leaves one file, made from all its photographs' annotations."""


class Format(NamedTuple):
    """A format of which each photograph leaves a file ``<folder>/<id><suffix>``."""

    folder: str
    suffix: str
    render: Callable[[Prediction], bytes]


FORMATS = {
    "overlay": Format("overlays", ".png", overlay_png),
    "mask": Format("masks", ".png", mask_png),
    "nifti": Format("niftis", ".nii.gz", nifti),
    "geojson": Format("geojson", ".geojson", geojson),
    "labelme": Format("labelme", ".json", labelme),
    "refuge": Format("refuge", ".bmp", refuge_bmp),
    "uncertainty": Format("uncertainty", ".png", uncertainty_png),
}


def render(prediction: Prediction, names: Sequence[str]) -> dict[Path, bytes]:
    """Return the files of one photograph in some formats, by their path below the output folder.

    Raises:
        UserError: A format cannot hold the prediction.
    """
    return {
        file_of(prediction.photograph.id, name): FORMATS[name].render(prediction)
        for name in names
        if name != COCO
    }


def file_of(photograph_id: str, name: str) -> Path:
    """Return the path of a photograph's file in a format, below the output folder."""
    return Path(FORMATS[name].folder) / f"{photograph_id}{FORMATS[name].suffix}"


def check_formats(names: Sequence[str]) -> None:
    """Raise unless all formats are known.

    Raises:
        ValueError: An unknown format, or none.
    """
    options = [*FORMATS, COCO]
    unknown = [name for name in names if name not in options]
    if unknown or not names:
        raise UserError(
            f"formats must be out of {', '.join(options)}, got {', '.join(unknown) or 'none'}"
        )
