"""``tvseg data check-refuge``."""

import sys
from pathlib import Path

import click

from tvseg.cli import options
from tvseg.errors import escaped


@click.command(name="check-refuge")
@click.argument("submission", type=options.PATH)
@click.option(
    "--images",
    required=True,
    type=options.PATH,
    help="Folder of the photographs, each of which must have its NAME.bmp.",
)
def check_refuge(submission: Path, images: Path) -> None:
    """Check masks of predict's format refuge for the challenge; exit code 1 on problems.

    The challenge's own evaluator passes over missing files in silence and fails on others as a
    whole: names, count, size, type and values are checked here.
    """
    from tvseg.evaluation.scoring.refuge import check_submission

    problems = check_submission(submission, images)
    for problem in problems:
        click.echo(escaped(problem), err=True)
    if problems:
        click.echo(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}.", err=True)
        sys.exit(1)
    click.echo("Every photograph has its mask, and the masks are as the challenge takes them.")
