"""The folder of predictions: who may write it, and the tables made of finished batches."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvseg.errors import UserError
from tvseg.files import open_atomically, remove_temporaries, write_bytes, write_json
from tvseg.inference.input.find import Photograph
from tvseg.inference.output.formats import COCO, FORMATS
from tvseg.inference.output.progress import Progress, Record
from tvseg.inference.prediction import Prediction, Row

RUN = "run.json"
FAILURE_COLUMNS = ("id", "path", "reason")


@dataclass
class Outcome:
    """What became of the photographs of a run.

    Attributes:
        predicted: How many have a row in ``measurements.csv``.
        failed: How many have one in ``failures.csv``.
        flags: How many of the predicted bear each flag.
        first_failures: The first ten rows of ``failures.csv``.
    """

    predicted: int = 0
    failed: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    first_failures: list[Row] = field(default_factory=list)


class OutputFolder:
    """A folder of predictions.

    Args:
        path: The folder.
        formats: Out of ``FORMATS`` and ``COCO``.
        structures: Names, in the order of categories.
    """

    def __init__(self, path: Path, *, formats: Sequence[str], structures: Sequence[str]) -> None:
        self.path = path
        self.formats = {name: FORMATS[name] for name in formats if name != COCO}
        self.coco = COCO in formats
        self.structures = tuple(structures)
        self.progress = Progress(path)

    def open(
        self, photographs: Sequence[Photograph], about: Mapping[str, Any], *, resume: bool
    ) -> None:
        """Take the folder, before anything is computed.

        Args:
            photographs: What is to be predicted.
            about: What decides the output; a run that is resumed must say the same.
            resume: Whether to go on with a run that was interrupted.

        Raises:
            ValueError: The folder holds something else, or another run.
            OSError: The folder cannot be written.
        """
        info = self.info()
        used = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        if used and not (resume and info):
            hint = "; continue with --resume" if info and not resume else ""
            raise UserError(
                f"{self.path} must be new or an empty folder; give another --out or remove it{hint}"
            )
        if info:
            self._check_same(info["about"], about)
            known = {name for record in self.progress.records() for name in record.ids}
            if gone := sorted(known - {photograph.id for photograph in photographs}):
                raise UserError(
                    f"a run that is resumed must be given the photographs that it had; {len(gone)} "
                    f"are missing, first {gone[0]}"
                )
            remove_temporaries(self.path)
        for name in self.formats.values():
            (self.path / name.folder).mkdir(parents=True, exist_ok=True)
        self.write_info(about=dict(about))

    def info(self) -> dict[str, Any]:
        """What ``run.json`` holds, nothing when there is none."""
        path = self.path / RUN
        if not path.is_file():
            return {}
        try:
            content: dict[str, Any] = json.loads(path.read_text("utf-8"))
            content["about"].items()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{path} is damaged; predict into a new folder") from error
        return content

    def write_info(self, **changes: Any) -> None:
        """Add to ``run.json``, which is written anew as a whole."""
        write_json(self.path / RUN, self.info() | changes)

    def render(self, prediction: Prediction) -> dict[Path, bytes]:
        """The files of one photograph.

        Raises:
            ValueError: A format cannot hold the prediction.
        """
        return {
            self._file(prediction.photograph, name): FORMATS[name].render(prediction)
            for name in self.formats
        }

    def write(self, photograph: Photograph, files: Mapping[Path, bytes]) -> None:
        """Write all files of a photograph, or none.

        Raises:
            OSError: One cannot be written.
        """
        try:
            for path, content in files.items():
                write_bytes(path, content)
        except OSError:
            self.remove(photograph)
            raise

    def remove(self, photograph: Photograph) -> None:
        """Remove the files of a photograph."""
        for name in self.formats:
            self._file(photograph, name).unlink(missing_ok=True)

    def _file(self, photograph: Photograph, name: str) -> Path:
        made = FORMATS[name]
        return self.path / made.folder / f"{photograph.id}{made.suffix}"

    def write_tables(self) -> Outcome:
        """Make ``measurements.csv``, ``failures.csv`` and ``coco.json`` of all finished batches."""
        outcome = Outcome()
        for record in self.progress.records():
            outcome.predicted += len(record.rows)
            outcome.failed += len(record.failures)
            outcome.flags.update(
                flag for row in record.rows for flag in str(row["flags"]).split("; ") if flag
            )
            outcome.first_failures += record.failures[: 10 - len(outcome.first_failures)]
        self._write_table("measurements", lambda record: record.rows)
        self._write_table("failures", lambda record: record.failures)
        if self.coco:
            with open_atomically(self.path / "coco.json") as file:
                for piece in self._coco_pieces():
                    file.write(piece.encode())
        return outcome

    def _write_table(self, name: str, rows_of: Callable[[Record], Sequence[Row]]) -> None:
        path = self.path / f"{name}.csv"
        rows = (row for record in self.progress.records() for row in rows_of(record))
        first = next(rows, None)
        if first is None:
            path.unlink(missing_ok=True)
            return
        with open_atomically(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            writer = csv.DictWriter(text, fieldnames=list(first), lineterminator="\n")
            writer.writeheader()
            for row in (first, *rows):
                writer.writerow({key: _shown(value) for key, value in row.items()})
            text.flush()
            text.detach()

    def _coco_pieces(self) -> Iterator[str]:
        """COCO's JSON in pieces, so that no more than one batch of contours is held."""
        numbers = enumerate(self.structures, start=1)
        categories = [{"id": number, "name": name} for number, name in numbers]
        yield f'{{"categories":{json.dumps(categories)},\n"images":['
        pictures = (row for record in self.progress.records() for row in record.rows)
        for number, row in enumerate(pictures, start=1):
            tree = {
                "id": number,
                "file_name": Path(str(row["path"])).name,
                "width": row["width_px"],
                "height": row["height_px"],
                "tvseg_id": row["id"],
            }
            yield ("" if number == 1 else ",") + "\n" + json.dumps(tree, ensure_ascii=False)
        yield '],\n"annotations":['
        own = (one for record in self.progress.records() for one in record.annotations)
        numbered = (
            {"image_id": image, **annotation}
            for image, annotations in enumerate(own, start=1)
            for annotation in annotations
        )
        for number, tree in enumerate(numbered, start=1):
            yield ("" if number == 1 else ",") + "\n" + json.dumps({"id": number, **tree})
        yield "]}\n"

    def _check_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        now = json.loads(json.dumps(now))  # as it comes back: tuples are lists
        for key in now.keys() | before.keys():
            if before.get(key) != now.get(key):
                raise UserError(
                    f"{self.path} must go on as it began: {key} was {before.get(key)}, is now "
                    f"{now.get(key)}; give another --out"
                )


def _shown(value: str | int | float) -> str | int:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.4f}"
