"""``tvseg predict``."""

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvseg.cli import options
from tvseg.errors import escaped

if TYPE_CHECKING:
    from tvseg.inference.input.find import Photograph
    from tvseg.inference.load import Model
    from tvseg.inference.output.folder import Tally


@click.command()
@click.argument("images", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=options.PATH,
    help="Run folder of tvseg train, a checkpoint file, an exported folder or its id on the hub; "
    "give several to average them. Without it: the starter weights, trained on drawn photographs "
    "alone.",
)
@click.option("--out", required=True, type=options.PATH, help="Folder to write, new or empty.")
@click.option(
    "--formats",
    default="overlay,mask",
    help="Out of overlay, mask, nifti, geojson, labelme, refuge, uncertainty, probability, "
    "dicom-seg, coco.",
)
@click.option(
    "--roi",
    default="auto",
    help="Region of interest: auto finds the disc (with a run that has a localizer), none takes "
    "whole pictures, ROW,COL,SIZE is the top left corner and side of a square in px.",
)
@click.option("--tta", is_flag=True, help="Average with the mirror image; twice the time.")
@options.adapt
@click.option(
    "--um-per-px",
    type=options.FiniteRange(min=0.01, max=10_000),
    help="Micrometres per pixel, where no CSV gives it; measures in micrometres, too.",
)
@click.option("--recursive", is_flag=True, help="Take pictures of sub-folders, too.")
@click.option("--resume", is_flag=True, help="Continue in OUT; keep what is finished.")
@click.option(
    "--batch-size",
    type=options.COUNT,
    default=8,
    help="Photographs that go through the network together.",
)
@click.option("--workers", type=options.COUNT, default=2, help="Threads that read and write files.")
@options.checkpoint
@options.device
def predict(
    images: tuple[Path, ...],
    models: tuple[Path, ...],
    out: Path,
    formats: str,
    roi: str,
    tta: bool,
    adapt: str,
    um_per_px: float | None,
    recursive: bool,
    resume: bool,
    batch_size: int,
    workers: int,
    checkpoint: str,
    device: str | None,
) -> None:
    """Outline the structures (disc and cup) on fundus photographs, and measure them.

    IMAGES are picture files (PNG, JPEG, TIFF, BMP, DICOM), folders of them, and CSV lists with the
    columns id, path and, if known, laterality (R, L) and um_per_px. Photographs that cannot be
    read are listed in failures.csv, the others are predicted (exit code 3).
    """
    from tvseg.inference.input.find import find_photographs

    left_out: Counter[str] = Counter()
    photographs = find_photographs(
        images, recursive=recursive, um_per_px=um_per_px, left_out=left_out
    )
    from tvseg.inference.load import load
    from tvseg.inference.output.folder import OutputFolder
    from tvseg.inference.output.formats import check_formats
    from tvseg.inference.predict import predict as run_prediction
    from tvseg.runs.provenance import provenance

    names = [name.strip() for name in formats.split(",") if name.strip()]
    check_formats(names)
    model = load(models or None, device=device, checkpoint=checkpoint, roi=roi, tta=tta)
    about = {**model.about, "formats": names, "um_per_px": um_per_px}
    about |= _adapted(model, photographs, adapt)
    if models:
        _print_models(model, roi)
    else:
        click.echo(
            "No --model: the starter weights, trained on drawn photographs alone; for research, "
            "not for diagnosis (tvseg/weights/README.md)"
        )
    tally = run_prediction(
        photographs,
        model.pipeline,
        OutputFolder(out, formats=names, structures=model.pipeline.encoding.structures),
        about=about,
        provenance=provenance(shlex.join(["tvseg", *sys.argv[1:]]), model.about["device"]),
        batch_size=batch_size, workers=workers, resume=resume,
    )  # fmt: skip
    _print_tally(tally, left_out, out)


def _adapted(model: "Model", photographs: "Sequence[Photograph]", kind: str) -> dict[str, Any]:
    """Adapt a model to the photographs that can be read; return what ``run.json`` says of it."""
    if kind == "none":
        return {}
    from tvseg.inference.adaptation import adapt
    from tvseg.inference.input.read import read_readable

    count = adapt(model.pipeline, read_readable(photographs))
    click.echo(
        f"Batch norm adapted to {count} of {len(photographs)} photographs: masks depend on which "
        "photographs are predicted together"
    )
    return {"adapt": {kind: count}}


def _print_models(model: "Model", roi: str) -> None:
    for card in model.cards:
        click.echo(f"Model of epoch {card.epoch} ({card.chosen}), centre held out: {card.holdout}")
    if roi == "auto" and model.localizer is None:
        click.echo(
            "No localizer in the run: every picture is taken as a region of interest about the "
            "disc ('tvseg train-localizer' makes one)"
        )


def _print_tally(tally: "Tally", left_out: Counter[str], out: Path) -> None:
    total = tally.predicted + tally.failed
    click.echo(f"Predicted {tally.predicted} of {total} photographs: {out}")
    for flag, count in sorted(tally.flags.items()):
        click.echo(f"  {flag}: {count}")
    if left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
        click.echo(escaped(f"  left out, not pictures by their names: {kinds}"))
    if tally.failed:
        for row in tally.first_failures:
            click.echo(escaped(f"  {row['path']}: {row['reason']}"), err=True)
        click.echo(f"{tally.failed} failed, listed in {out / 'failures.csv'}", err=True)
        sys.exit(3)
