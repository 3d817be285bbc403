"""``tvseg view``."""

import sys
from pathlib import Path

import click

from tvseg.cli import options
from tvseg.errors import escaped


@click.command()
@click.argument("folder", metavar="OUT", type=options.PATH)
@click.option("--out", "file", type=options.PATH, help="File to write.  [default: OUT/index.html]")
def view(folder: Path, file: Path | None) -> None:
    """Make one HTML page to look through a folder that tvseg predict has written.

    The page holds all its pictures, so it can be moved or sent as it is, and needs no server: open
    it in a browser. It sorts by cup-to-disc ratio, confidence and flags, shows or hides the
    contours, and enlarges a photograph that is clicked. Photographs are read from where they were
    predicted; one that is gone is listed without its picture (exit code 3).
    """
    from tvseg.inference.gallery.gallery import write_gallery
    from tvseg.inference.output.read_back import read_written

    written = read_written(folder)
    path = file or folder / "index.html"
    problems = write_gallery(written, path)
    failed = f", {len(written.failures)} failed" if written.failures else ""
    click.echo(f"{len(written.rows)} photographs{failed}: {path}")
    if problems:
        for name, reason in problems[:10]:
            click.echo(escaped(f"  {name}: {reason}"), err=True)
        click.echo(f"{len(problems)} are listed without their pictures", err=True)
        sys.exit(3)
