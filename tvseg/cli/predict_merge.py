"""``tvseg predict-merge``."""

from collections import Counter
from pathlib import Path

import click

from tvseg.cli import options
from tvseg.cli.predict import print_tally
from tvseg.errors import UsageError


@click.command()
@click.argument("folders", nargs=-1, required=True, type=options.FOLDER, metavar="DIR...")
@click.option(
    "--out", type=options.PATH, help="Folder to write; by default DIR, where there is one only."
)
@click.option("--incomplete", is_flag=True, help="Merge what there is; photographs may be missing.")
def predict_merge(folders: tuple[Path, ...], out: Path | None, incomplete: bool) -> None:
    """Make the tables of what 'tvseg predict --shard' left in one or several folders DIR.

    measurements.csv, failures.csv and coco.json are those that one process would have written.
    Exit code 3 when some photographs failed.
    """
    if out is None and len(folders) > 1:
        raise UsageError("give --out, the folder to write the tables of several folders to")
    from tvseg.inference.shards.merge import merge

    target = out or folders[0]
    print_tally(merge(folders, target, incomplete=incomplete), Counter(), target)
