"""``tvseg report``."""

from pathlib import Path

import click

from tvseg.cli import options
from tvseg.errors import UserError


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the report.")
@options.scoring
@click.option(
    "--photographs/--no-photographs",
    default=True,
    show_default=True,
    help="Best, median and worst cases as contours; needs the data.",
)
@options.device
def report(
    runs: tuple[Path, ...],
    out: Path,
    data: Path | None,
    protocol: str,
    images: str,
    size: str | None,
    checkpoint: str,
    photographs: bool,
    device: str | None,
) -> None:
    """Make tables, tests and figures of scored runs: one page to read, and every file by itself.

    RUNS are run folders or folders of them, by default ./runs, that 'tvseg eval' has scored. OUT
    gets report.html, which holds all its pictures, and the folders figures (PNG, PDF) and tables
    (CSV, Markdown). Runs of different settings or data get chapters of their own.
    """
    from tvseg.device import choose_device
    from tvseg.evaluation.report.build import chapter
    from tvseg.evaluation.report.groups import Scoring, gather
    from tvseg.evaluation.report.write import check_free, write_report
    from tvseg.evaluation.scoring.protocols import find_protocol
    from tvseg.evaluation.scoring.runs import find_runs

    check_free(out)
    scoring = Scoring(find_protocol(protocol).on_grid(size), images, checkpoint)
    groups = gather(find_runs(runs or (Path("runs"),)), scoring)
    found = [run for group in groups for run in group.runs]
    roots = None
    if photographs:
        try:
            roots = {run.path: options.find_data(data, run.info().get("data")) for run in found}
        except ValueError as error:
            raise UserError(f"{error}; or leave the cases out with --no-photographs") from error
    where = choose_device(device)
    chapters = [chapter(group, roots=roots, device=where) for group in groups]
    page = write_report(chapters, out, title="tvseg report", runs=[str(run.path) for run in found])
    apart = f" in {len(groups)} groups" if len(groups) > 1 else ""
    click.echo(f"{len(found)} runs{apart}")
    click.echo(page)
