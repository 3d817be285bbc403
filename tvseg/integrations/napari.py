"""What tvseg gives to napari: a widget, a sample and a reader; see ``tvseg/napari.yaml``.

Labels are 1, 2, ... in the order of the encoding's values other than background, as in NIfTI files:
cup, rim.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvseg.csv_files import find_listed
from tvseg.data.centres import MaskEncoding
from tvseg.data.images import read_labels
from tvseg.errors import UserError
from tvseg.inference.input.read import read_photograph
from tvseg.inference.output.formats import files_of
from tvseg.inference.output.read_back import read_written

if TYPE_CHECKING:
    import napari.layers
    import napari.types

Layer = tuple[Any, dict[str, Any], str]
"""Data, arguments and kind of a layer, as napari takes them."""

MAX_PHOTOGRAPHS = 32
"""Of a folder that is opened; each is held as a whole."""


def segment(
    photograph: "napari.layers.Image", model: str = ""
) -> "list[napari.types.LayerDataTuple]":
    """Outline disc and cup on a photograph.

    Args:
        photograph: A layer with an RGB picture, uint8 (H, W, 3).
        model: Run folder, exported folder or checkpoint file; empty for the starter weights.

    Returns:
        A layer of labels, with the measurements as its features.

    Raises:
        UserError: No photograph, or no such model.
    """
    from tvseg.inference.load import load

    found = load(model or None)(np.asarray(photograph.data))
    name = f"{photograph.name} (tvseg)"
    return [_labels_layer(name, found.labels, found.encoding, found.measurements)]


def phantom() -> list[Layer]:
    """Draw a full photograph, and its true cup and rim."""
    from tvseg.data.phantoms.draw import draw_field
    from tvseg.data.phantoms.style import STYLES

    drawn = draw_field(next(iter(STYLES.values())), np.random.default_rng(0), side_px=512)
    truth = np.where(drawn.cup, 1, 2 * drawn.disc).astype(np.uint8)
    return [
        (drawn.image, {"name": "phantom", "rgb": True}, "image"),
        (truth, {"name": "phantom (truth)", "opacity": 0.4}, "labels"),
    ]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[Layer]] | None:
    """Return :func:`read_folder` for a folder of ``tvseg predict``, else nothing."""
    if isinstance(path, list) or not (Path(path) / "measurements.csv").is_file():
        return None
    return read_folder


def read_folder(path: str | list[str]) -> list[Layer]:
    """Return a picture and its labels for each photograph of a folder of ``tvseg predict``.

    The photograph's row of ``measurements.csv`` is in the features of its labels.

    Raises:
        UserError: Not such a folder, one without masks or with too many photographs, or a
            photograph that is gone.
        OSError: A file is missing.
    """
    folder = Path(str(path))
    written = read_written(folder)
    if "mask" not in written.about["formats"]:
        raise UserError(f"{folder} must hold masks; predict again with --formats mask")
    if len(written.rows) > MAX_PHOTOGRAPHS:
        raise UserError(
            f"{folder} must hold at most {MAX_PHOTOGRAPHS} photographs to be opened, it has "
            f"{len(written.rows)}; predict some of them into another folder"
        )
    values = {int(value): names for value, names in written.about["encoding"].items()}
    encoding = MaskEncoding(values, written.structures)
    layers: list[Layer] = []
    for number, row in enumerate(written.rows):
        shown = {"visible": number == 0}
        pixels, _ = read_photograph(find_listed(Path(), row["path"]))
        labels = read_labels(folder / files_of(row["id"], "mask")[0])
        data, arguments, kind = _labels_layer(f"{row['id']} (tvseg)", labels, encoding, row)
        layers.append((pixels, {"name": row["id"], "rgb": True} | shown, "image"))
        layers.append((data, arguments | shown, kind))
    return layers


def _labels_layer(
    name: str, image: np.ndarray, encoding: MaskEncoding, row: Mapping[str, Any]
) -> Layer:
    """Return the layer of a label image, (H, W) in an encoding."""
    marked = [value for value, names in encoding.values.items() if names]
    number_of = np.zeros(256, np.uint8)
    number_of[marked] = np.arange(1, len(marked) + 1)
    features: dict[str, list[Any]] = {"index": list(range(1, len(marked) + 1))}
    features |= {key: [value] * len(marked) for key, value in row.items()}
    return number_of[image], {"name": name, "opacity": 0.4, "features": features}, "labels"
