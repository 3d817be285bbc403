"""``tvseg data synth``, ``prepare``, ``check`` and ``check-refuge``."""

from pathlib import Path

import click

from tvseg.cli import options
from tvseg.cli.data_check import check
from tvseg.cli.data_prepare import prepare
from tvseg.cli.data_refuge import check_refuge


@click.group()
def data() -> None:
    """Make phantom photographs, prepare downloads, check data."""


@data.command()
@click.argument("out", type=options.PATH)
@click.option("--per-centre", type=click.IntRange(min=2), default=24, help="Photographs a centre.")
@click.option("--seed", type=options.SEED, default=0)
@click.option("--size", type=click.IntRange(64, 4096), default=512, help="Side in px.")
@click.option(
    "--style",
    type=click.Choice(["centres", "random"]),
    default="centres",
    help="Four fixed styles, one a centre, or a random one for each photograph.",
)
def synth(out: Path, per_centre: int, seed: int, size: int, style: str) -> None:
    """Draw phantom photographs of four centres into OUT, in the DoFE folder layout."""
    from tvseg.data.phantoms.write import write_phantoms

    write_phantoms(out, per_centre=per_centre, seed=seed, side_px=size, style=style)
    click.echo(f"Drew {per_centre} photographs for each of four centres: {out}")


data.add_command(prepare)
data.add_command(check)
data.add_command(check_refuge)
