"""``tvseg data prepare``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvseg.cli import options

if TYPE_CHECKING:
    from tvseg.data.prepare.pipeline import Outcome
    from tvseg.settings import SegmentationSettings

LISTED = 100
"""Problems that are printed."""


@click.command()
@click.argument("kind")
@click.argument("sources", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--out",
    "root",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Data root; the centre becomes a folder in it.",
)
@click.option("--centre", help="Folder of the centre; by default the benchmark's, e.g. Domain1.")
@click.option(
    "--truth",
    help="Whose drawing: 4of4, 3of4, 2of4, 1of4 experts agree (drishti-gs); average, expert1, "
    "expert2 (rim-one-r3); staple, majority, mean, median, expert1 to expert5 (chaksu); expert1, "
    "expert2 (papila); the first is the default.",
)
@click.option(
    "--frame",
    help="What to cut: 800px (about the disc, as the benchmark), 2.5d (diameters of the disc), or "
    "none; by default 800px, none for kinds that are ROIs.",
)
@click.option(
    "--jitter",
    type=options.FiniteRange(0, 0.5),
    default=0.0,
    help="Shift each frame by up to this share of its side.",
)
@click.option(
    "--split",
    type=click.Choice(["owner", "patients"]),
    help="Use the dataset's own split if it has one (default), or split by patient.",
)
@click.option(
    "--test-share",
    type=options.FiniteRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    help="Fraction of patients in the test split when splitting by patient.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    help="Random seed for the patient split and the jitter.",
)
@click.option("--only", default="*", help="Names to take, e.g. 'r3_*'.")
@click.option(
    "--encoding",
    help="Of your own label images, e.g. '{0: [], 1: [disc], 2: [cup, disc]}'; by default the one "
    "that the settings give the centre.",
)
@options.config_files(
    "YAML file that describes structures, centres and encodings; may be given again."
)
@click.option("--skip-bad", is_flag=True, help="Leave out what is wrong and write the rest.")
def prepare(
    kind: str,
    sources: tuple[Path, ...],
    root: Path,
    centre: str | None,
    truth: str | None,
    frame: str | None,
    jitter: float,
    split: str | None,
    test_share: float,
    seed: int,
    only: str,
    encoding: str | None,
    configs: tuple[Path, ...],
    skip_bad: bool,
) -> None:
    """Turn a download, or your own photographs, into a centre that trains.

    SOURCES are the zip archives of the download, or folders of their content. KIND is one of

    \b
      drishti-gs     Drishti-GS1, both folders
      rim-one-r3     RIM-ONE r3, stereo pairs
      rim-one-dl     RIM-ONE DL, regions and reference segmentations
      refuge-train   REFUGE, each part a centre; all archives may be given at once
      refuge-val
      refuge-test
      origa          ORIGA(-light)
      chaksu         Chaksu IMAGE, each of its three cameras a centre
      papila         PAPILA, outlines of two experts
      grape          GRAPE, regions and polygons; unpack its archives first
      hrf-seg        HRF-Seg+
      dofe           the benchmark itself
      own            a CSV file with the columns photograph, cup, disc (or mask, or
                     polygons: COCO or LabelMe) and if you have them centre, name,
                     patient, eye, split

    or a kind that an installed plug-in brings.

    Everything that is wrong is listed, and then nothing is written (exit code 1), unless
    --skip-bad is given (exit code 3). manifest.csv in the centre's folder says where each region
    comes from.
    """  # noqa: D301 - click looks for the character itself
    from tvseg.config import load_settings
    from tvseg.data.centres import centres_of, output_encoding, parse_encoding
    from tvseg.data.prepare.adapters import adapter_of
    from tvseg.data.prepare.framing import Framing
    from tvseg.data.prepare.pipeline import Recipe
    from tvseg.data.prepare.pipeline import prepare as run_preparation

    settings = load_settings(configs)
    recipe = Recipe(
        truth=truth,
        centre=centre,
        only=only,
        framing=Framing.parse(frame or adapter_of(kind).frame, jitter=jitter),
        split=split,
        test_share=test_share,
        seed=seed,
        skip_bad=skip_bad,
        encoding=output_encoding(settings),
        encodings={centre.folder: centre.encoding for centre in centres_of(settings).values()},
        source_encoding=parse_encoding(encoding, settings.structures) if encoding else None,
    )
    outcome = run_preparation(kind, sources, root, recipe)
    _list_problems(outcome)
    if not outcome.rows:
        click.echo("Nothing was written.", err=True)
        sys.exit(1)
    _list_centres(outcome, root, settings)
    if outcome.problems:
        click.echo(
            f"{len(outcome.problems)} left out, listed in problems.csv beside each manifest.csv.",
            err=True,
        )
        sys.exit(3)


def _list_problems(outcome: "Outcome") -> None:
    import pandas as pd

    from tvseg.cli.tables import make_console, print_table
    from tvseg.evaluation.tables.table import Table

    if outcome.problems:
        rows = [(one.centre, one.file, one.reason) for one in outcome.problems[:LISTED]]
        text = pd.DataFrame(rows, columns=["Centre", "File", "Problem"])
        print_table(Table.of("", text, heads=3), make_console(stderr=True))
    if (more := len(outcome.problems) - LISTED) > 0:
        click.echo(f"... and {more} more", err=True)


def _list_centres(outcome: "Outcome", root: Path, settings: "SegmentationSettings") -> None:
    known = {centre.folder for centre in settings.centres.values()}
    for centre in dict.fromkeys(row.centre for row in outcome.rows):
        splits = [row.split for row in outcome.rows if row.centre == centre]
        counts = f"{splits.count('train')} to train, {splits.count('test')} to test"
        click.echo(f"{root / centre}: {counts}")
        cut = [row for row in outcome.rows if row.centre == centre]
        if beyond := sum(row.share_inside() < 0.5 for row in cut):
            click.echo(
                f"  {beyond} of {len(cut)} regions lie mostly beyond their photographs and are "
                "black there: choose a smaller --frame, such as 2.5d, or none",
                err=True,
            )
        if centre not in known:
            click.echo(f"  to use it, name it under centres: E: {{ name: ..., folder: {centre} }}")
