"""``tvseg predict``."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvseg.cli import options

if TYPE_CHECKING:
    from tvseg.inference.load import Deployment
    from tvseg.inference.output.folder import Outcome

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option(
    "--model",
    "models",
    required=True,
    multiple=True,
    type=PATH,
    help="Run folder of tvseg train, or a checkpoint file; give several to average them.",
)
@click.option("--out", required=True, type=PATH, help="Folder to write, new or empty.")
@click.option(
    "--formats",
    default="overlay,mask",
    show_default=True,
    help="Out of overlay, mask, nifti, geojson, labelme, refuge, uncertainty, coco.",
)
@click.option(
    "--roi",
    default="auto",
    show_default=True,
    help="Where the disc is: auto finds it (with a run that has a localizer), none takes whole "
    "pictures, ROW,COL,SIZE is the top left corner and side of a square in px.",
)
@click.option("--tta", is_flag=True, help="Average with the mirror image; twice the time.")
@click.option(
    "--um-per-px",
    type=click.FloatRange(min=0, min_open=True),
    help="Micrometres a pixel, where no CSV says it; measures in micrometres, too.",
)
@click.option("--recursive", is_flag=True, help="Take pictures of sub-folders, too.")
@click.option("--resume", is_flag=True, help="Go on with OUT; finished photographs are left alone.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Photographs that go through the network together.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Threads that read and write files.",
)
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True
)
@options.device
def predict(
    images: tuple[Path, ...],
    models: tuple[Path, ...],
    out: Path,
    formats: str,
    roi: str,
    tta: bool,
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
    columns id, path and, if known, laterality (R, L) and um_per_px. A photograph that cannot be
    read is listed in failures.csv and the rest goes on (exit code 3).
    """
    from tvseg.inference.input.find import find_photographs

    photographs = find_photographs(images, recursive=recursive, um_per_px=um_per_px)
    from tvseg.device import choose_device
    from tvseg.inference.load import deploy
    from tvseg.inference.output.folder import OutputFolder
    from tvseg.inference.output.formats import check_formats
    from tvseg.inference.predict import predict as run_prediction

    names = [name.strip() for name in formats.split(",") if name.strip()]
    check_formats(names)
    deployed = deploy(
        models, device=choose_device(device), checkpoint=checkpoint, roi=roi, mirror=tta
    )
    _tell_models(deployed, roi)
    outcome = run_prediction(
        photographs,
        deployed.pipeline,
        OutputFolder(out, formats=names, structures=deployed.pipeline.encoding.structures),
        about={**deployed.about, "formats": names, "um_per_px": um_per_px},
        command=shlex.join(["tvseg", *sys.argv[1:]]),
        batch_size=batch_size,
        workers=workers,
        resume=resume,
    )
    _tell_outcome(outcome, out)


def _tell_models(deployed: "Deployment", roi: str) -> None:
    for card in deployed.cards:
        click.echo(f"Model of epoch {card.epoch} ({card.chosen}), centre held out: {card.holdout}")
    if roi == "auto" and deployed.localizer is None:
        click.echo(
            "No localizer in the run: every picture is taken as a region of interest about the "
            "disc ('tvseg train-localizer' makes one)"
        )


def _tell_outcome(outcome: "Outcome", out: Path) -> None:
    total = outcome.predicted + outcome.failed
    click.echo(f"Predicted {outcome.predicted} of {total} photographs: {out}")
    for flag, count in sorted(outcome.flags.items()):
        click.echo(f"  {flag}: {count}")
    if outcome.failed:
        for row in outcome.first_failures:
            click.echo(f"  {row['path']}: {row['reason']}", err=True)
        click.echo(f"{outcome.failed} failed, listed in {out / 'failures.csv'}", err=True)
        sys.exit(3)
