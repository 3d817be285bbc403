"""``tvseg report``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvseg.cli import options
from tvseg.errors import UserError

if TYPE_CHECKING:
    from tvseg.runs.folder import RunFolder


@click.command()
@click.argument("runs", nargs=-1, type=options.PATH)
@click.option("--out", required=True, type=options.PATH, help="Folder of the report.")
@options.scoring
@click.option(
    "--photographs/--no-photographs",
    default=True,
    help="Show the best, median and worst cases as contours; needs the data.",
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
    """Write tables, tests and figures of scored runs as one page and as single files.

    RUNS are run folders or folders of them (default: ./runs) that 'tvseg eval' has scored. The
    folder --out gets report.html, which contains all its pictures, and the folders figures (PNG,
    PDF) and tables (CSV, Markdown). Runs of different settings, precision or data are reported in
    separate chapters.
    """
    from tvseg.device import choose_device
    from tvseg.evaluation.report.build import chapter
    from tvseg.evaluation.report.groups import gather
    from tvseg.evaluation.report.write import check_free, write_report
    from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring
    from tvseg.evaluation.scoring.runs import find_runs

    check_free(out)
    scoring = Scoring(PROTOCOLS[protocol].on_grid(size), images, checkpoint)
    groups = gather(find_runs(runs or (Path("runs"),)), scoring)
    found = [run for group in groups for run in group.runs]
    roots = _find_roots(found, data) if photographs else None
    where = choose_device(device)
    chapters = [chapter(group, roots=roots, device=where) for group in groups]
    page = write_report(chapters, out, title="tvseg report", runs=[str(run.path) for run in found])
    split = f" in {len(groups)} groups" if len(groups) > 1 else ""
    click.echo(f"{len(found)} run{'' if len(found) == 1 else 's'}{split}")
    click.echo(page)


def _find_roots(runs: "Sequence[RunFolder]", data: Path | None) -> dict[Path, Path]:
    """Return the data root of each run's folder, its images being those of the run."""
    from tvseg.evaluation.scoring.runs import cases_by_centre, check_data

    roots = {}
    known: dict[Path, set[str]] = {}  # fingerprints of data roots
    try:
        for run in runs:
            root = options.find_data(data, run.info().get("data"))
            cases = cases_by_centre(root, run.settings())
            check_data(cases, str(run.info()["fingerprint"]), known.setdefault(root, set()))
            roots[run.path] = root
    except UserError as error:
        raise UserError(f"{error}; or leave the cases out with --no-photographs") from error
    return roots
