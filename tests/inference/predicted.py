"""Predictions of a folder, and what they left."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tests.inference.drawn import draw_field, make_pipeline
from tvseg.inference import predict
from tvseg.inference.input.find import Photograph, find_photographs
from tvseg.inference.output.folder import OutputFolder
from tvseg.inference.output.tables import Tally
from tvseg.inference.pipeline import Pipeline


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def run(
    photographs: Sequence[Photograph] | Path,
    out: Path,
    *,
    formats: Sequence[str] = ("mask",),
    pipeline: Pipeline | None = None,
    batch_size: int = 4,
    resume: bool = False,
    about: str = "",
) -> Tally:
    pipeline = pipeline or make_pipeline()
    if isinstance(photographs, Path):
        photographs = find_photographs([photographs])
    folder = OutputFolder(out, formats=formats, structures=pipeline.encoding.structures)
    return predict.predict(
        photographs,
        pipeline,
        folder,
        about={"model": about},
        provenance={"command": "tvseg predict"},
        batch_size=batch_size,
        resume=resume,
    )


def read_tree(out: Path) -> dict[str, bytes]:
    """Every file but ``run.json``, which holds times."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def draw_fields(folder: Path, count: int) -> list[Photograph]:
    for place in range(count):
        field = draw_field(100 + place, 40 + place, 50, 20 + place)
        Image.fromarray(field).save(folder / f"{place:02d}.png")
    return find_photographs([folder])
