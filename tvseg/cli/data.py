"""``tvseg data synth`` and ``tvseg data check``."""

import sys
from pathlib import Path

import click


@click.group()
def data() -> None:
    """Make phantom photographs, check data."""


@data.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--per-centre",
    type=click.IntRange(min=2),
    default=24,
    show_default=True,
    help="Photographs a centre.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--size", type=click.IntRange(min=64), default=512, show_default=True, help="Side in px."
)
def synth(out: Path, per_centre: int, seed: int, size: int) -> None:
    """Draw phantom photographs of four centres into OUT, in the DoFE folder layout."""
    from tvseg.data.phantom_centres import write_phantoms

    write_phantoms(out, per_centre=per_centre, seed=seed, side_px=size)
    click.echo(f"Drew {per_centre} photographs for each of four centres: {out}")


@data.command()
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--config",
    "configs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file that describes the centres; may be given again.",
)
def check(root: Path, configs: tuple[Path, ...]) -> None:
    """Count, measure and compare everything below ROOT; exit code 1 when there are problems."""
    from rich.console import Console
    from rich.table import Table

    from tvseg.config import load_settings
    from tvseg.data.centres import centres_of
    from tvseg.data.check import check_data

    settings = load_settings(configs)
    centres = centres_of(settings)
    report = check_data(root, centres)
    table = Table("Centre", "Name", "Split", "Cases", "Sides [px]")
    for name in settings.structures:
        table.add_column(f"Share of {name} [%]", justify="right")
    for fact in report.facts:
        shares = (f"{100 * fact.shares[name]:.1f}" for name in settings.structures)
        sides = f"{fact.smallest_px} - {fact.largest_px}"
        name = centres[fact.centre].name
        table.add_row(fact.centre, name, fact.split, str(fact.cases), sides, *shares)
    Console().print(table)
    if report.left_alone:
        click.echo(f"Left alone, no centre in the settings: {', '.join(report.left_alone)}")
    for problem in report.problems:
        click.echo(f"Problem: {problem}", err=True)
    if report.problems:
        click.echo(f"{len(report.problems)} problems.", err=True)
        sys.exit(1)
    click.echo("No problems.")
