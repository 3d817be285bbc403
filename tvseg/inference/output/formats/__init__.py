"""Files that a prediction leaves, by format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from tvseg.errors import UserError
from tvseg.extras import require
from tvseg.inference.output.formats.dicom_seg import dicom_seg
from tvseg.inference.output.formats.labels import (
    mask_png,
    nifti,
    probability_pngs,
    uncertainty_png,
)
from tvseg.inference.output.formats.overlay import overlay_png
from tvseg.inference.output.formats.polygons import geojson, labelme
from tvseg.inference.output.formats.refuge import refuge_bmp
from tvseg.inference.prediction import Prediction

COCO = "coco"
"""The format of which a run leaves one file, made from all its photographs' annotations."""


class Format(NamedTuple):
    """A format of which each photograph leaves files.

    Attributes:
        folder: Of its files.
        suffix: Of their names.
        render: Makes ``<folder>/<id><suffix>``, or where it gives a list, a file per structure in
            order: ``<folder>/<structure>/<id><suffix>``.
        per_structure: Whether it gives a list.
        needs: Optional packages that it uses.
    """

    folder: str
    suffix: str
    render: Callable[[Prediction], bytes | list[bytes]]
    per_structure: bool = False
    needs: tuple[str, ...] = ()


FORMATS = {
    "overlay": Format("overlays", ".png", overlay_png),
    "mask": Format("masks", ".png", mask_png),
    "nifti": Format("niftis", ".nii.gz", nifti),
    "geojson": Format("geojson", ".geojson", geojson),
    "labelme": Format("labelme", ".json", labelme),
    "refuge": Format("refuge", ".bmp", refuge_bmp),
    "uncertainty": Format("uncertainty", ".png", uncertainty_png),
    "probability": Format("probability", ".png", probability_pngs, per_structure=True),
    "dicom-seg": Format("dicom-seg", ".dcm", dicom_seg, needs=("pydicom", "highdicom")),
}


def render(prediction: Prediction, names: Sequence[str]) -> dict[Path, bytes]:
    """Return the files of one photograph in some formats, by their path below the output folder.

    Raises:
        UserError: A format cannot hold the prediction.
    """
    rendered: dict[Path, bytes] = {}
    for name in names:
        if name != COCO:
            made = FORMATS[name].render(prediction)
            contents = made if isinstance(made, list) else [made]
            paths = files_of(prediction.photograph.id, name, prediction.encoding.structures)
            rendered |= dict(zip(paths, contents, strict=True))
    return rendered


def files_of(photograph_id: str, name: str, structures: Sequence[str] = ()) -> list[Path]:
    """Return the paths of a photograph's files in a format, below the output folder."""
    form = FORMATS[name]
    folders = [Path(form.folder)]
    if form.per_structure:  # a structure's name may hold what means something in a path
        folders = [folders[0] / quote(one, safe=" ").replace(".", "%2E") for one in structures]
    return [folder / f"{photograph_id}{form.suffix}" for folder in folders]


def parse_formats(text: str) -> list[str]:
    """Return the formats that an option names, separated by commas; none for ``none``.

    Raises:
        UserError: As of :func:`check_formats`.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == ["none"]:
        return []
    check_formats(names)
    return names


def check_formats(names: Sequence[str]) -> None:
    """Raise UserError unless all formats are known and can be written.

    Raises:
        UserError: An unknown format, none, or one that needs a package which is not installed.
    """
    options = [*FORMATS, COCO]
    unknown = [name for name in names if name not in options]
    if unknown or not names:
        raise UserError(
            f"formats must be out of {', '.join(options)}, got {', '.join(unknown) or 'none'}"
        )
    for name in names:
        require(*(FORMATS[name].needs if name != COCO else ()))
