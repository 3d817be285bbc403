"""``tvseg predict``."""

import sys
from pathlib import Path

import click


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="Run folder of tvseg train, or a checkpoint file.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder to write, new or empty."
)
@click.option(
    "--formats", default="overlay,mask", show_default=True, help="Out of overlay, mask, nifti."
)
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True
)
@click.option("--device", help="cuda, cpu, ...; chosen by itself when not given.")
def predict(
    images: tuple[Path, ...],
    model: Path,
    out: Path,
    formats: str,
    checkpoint: str,
    device: str | None,
) -> None:
    """Outline the structures (disc and cup) on photographs of their region, and measure them.

    IMAGES are picture files or folders of them, of any size. A photograph that cannot be read is
    listed in failures.csv and the rest goes on (exit code 3).
    """
    from tvseg.inference.predict import find_photographs

    photographs = find_photographs(images)
    from tvseg.device import choose_device
    from tvseg.inference.predict import predict as run_prediction
    from tvseg.inference.predictor import Predictor, find_checkpoint

    predictor, card = Predictor.from_checkpoint(
        find_checkpoint(model, checkpoint), choose_device(device)
    )
    click.echo(f"Model of epoch {card.epoch} ({card.chosen}), centre held out: {card.holdout}")
    names = [name.strip() for name in formats.split(",") if name.strip()]
    outcome = run_prediction(photographs, predictor, out, formats=names)
    click.echo(f"Predicted {len(outcome.measured)} of {len(photographs)} photographs: {out}")
    lacking = [
        row for row in outcome.measured if 0 in (v for k, v in row.items() if k.endswith("area_px"))
    ]
    if lacking:
        click.echo(
            f"  {len(lacking)} of them without a structure (area 0): {lacking[0]['id']}, ..."
        )
    if outcome.failed:
        for row in outcome.failed[:10]:
            click.echo(f"  {row['path']}: {row['reason']}", err=True)
        click.echo(f"{len(outcome.failed)} failed, listed in {out / 'failures.csv'}", err=True)
        sys.exit(3)
