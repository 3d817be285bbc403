"""A folder of photographs in, a folder of contours and measurements out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from tvseg.data.images import IMAGE_SUFFIXES, read_image
from tvseg.files import write_text
from tvseg.inference.measurements import measure
from tvseg.inference.predictor import Predictor
from tvseg.inference.writers import Prediction, find_writers


@dataclass
class Outcome:
    """What became of each photograph: a row of measurements, or a row of failure."""

    measured: list[dict[str, object]] = field(default_factory=list)
    failed: list[dict[str, object]] = field(default_factory=list)


def find_photographs(inputs: Sequence[Path]) -> dict[str, Path]:
    """Photographs by id, in order.

    Args:
        inputs: Files, and folders whose pictures (not those of sub-folders) are meant.

    Returns:
        Id -> file. The id is the file's stem, or its name, or with its folder's name before it:
        the first of these that tells all files apart.

    Raises:
        ValueError: An input that does not exist, nothing to predict, or two inputs that no name
            tells apart.
    """
    paths: list[Path] = []
    for given in inputs:
        if not given.exists():
            raise ValueError(f"photographs must be files or folders; {given} does not exist")
        found = sorted(given.iterdir()) if given.is_dir() else [given]
        pictures = [
            path
            for path in found
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        ]
        if given.is_dir() and not pictures:
            raise ValueError(f"{given} holds no pictures ({', '.join(IMAGE_SUFFIXES)})")
        paths += pictures if given.is_dir() else [given]
    paths = list({path.resolve(): path for path in paths}.values())
    schemes: list[Callable[[Path], str]] = [
        lambda path: path.stem,
        lambda path: path.name,
        lambda path: f"{path.resolve().parent.name}_{path.name}",
    ]
    for scheme in schemes:
        named = {scheme(path): path for path in paths}
        if len(named) == len(paths):
            return named
    raise ValueError(
        "photographs must differ in name or folder name; rename some, or predict in parts"
    )


def predict(
    photographs: dict[str, Path], predictor: Predictor, out: Path, *, formats: Sequence[str]
) -> Outcome:
    """Predict photographs one by one; a bad one is listed and the rest goes on.

    Writes a folder ``<format>s`` for each format, ``measurements.csv``, and ``failures.csv`` when
    something failed.

    Args:
        photographs: Id -> file.
        predictor: The deployed predictor.
        out: Folder to write, new or empty.
        formats: Out of ``WRITERS``.

    Returns:
        The rows of both tables.

    Raises:
        ValueError: An unknown format, or ``out`` holds files.
        OSError: ``out`` cannot be written.
    """
    writers = find_writers(formats)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} must be new or an empty folder; give another --out or remove it")
    for name in writers:
        (out / f"{name}s").mkdir(parents=True)
    outcome = Outcome()
    try:
        for key, path in tqdm(photographs.items(), "predicting", unit="image"):
            try:
                image = read_image(path)
                prediction = Prediction(image, predictor.masks(image))
                predictor.encoding.encode(prediction.masks)
            except (ValueError, OSError) as error:
                reason = str(error).removeprefix(f"{path}: ")
                outcome.failed.append({"id": key, "path": str(path), "reason": reason})
                continue
            for name, write in writers.items():
                write(out / f"{name}s" / key, prediction, predictor.encoding)
            outcome.measured.append(_row(key, path, prediction, predictor))
    finally:  # what is done is kept, whatever ends the loop
        _write_tables(out, outcome)
    return outcome


def _row(key: str, path: Path, prediction: Prediction, predictor: Predictor) -> dict[str, object]:
    height_px, width_px = prediction.image.shape[:2]
    measurements = measure(prediction.masks, predictor.encoding.structures)
    return {
        "id": key,
        "path": str(path),
        "width_px": width_px,
        "height_px": height_px,
        **measurements,
    }


def _write_tables(out: Path, outcome: Outcome) -> None:
    for name, rows in (("measurements", outcome.measured), ("failures", outcome.failed)):
        if rows:
            write_text(
                out / f"{name}.csv", pd.DataFrame(rows).to_csv(index=False, float_format="%.4f")
            )
