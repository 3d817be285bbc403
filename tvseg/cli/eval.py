"""``tvseg eval``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tvseg.cli import options
from tvseg.errors import escaped

if TYPE_CHECKING:
    from tvseg.data.centres import MaskEncoding
    from tvseg.evaluation.scoring.protocols import Protocol, Scoring
    from tvseg.runs.folder import RunFolder

BENCHMARK = "{0: [cup, disc], 128: [disc], 255: []}"


OF_RUNS = (
    "runs", "data", "images", "checkpoint", "tta", "shape", "adapt", "roi", "ensemble",
    "ensemble_variants", "shifts", "device",
)  # fmt: skip
OF_FOLDERS = ("centre_encoding", "prediction_encoding", "out")


def _shares(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Return comma-separated percentages as shares."""
    if value is None:
        return None
    try:
        return tuple(float(part) / 100 for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"must be percentages such as 0,5,10,20, got {value!r}") from error


@click.command(name="eval")
@click.argument("runs", nargs=-1, type=options.PATH)
@options.scoring
@click.option(
    "--intervals", is_flag=True, help="Write the bootstrap 95 % interval beside each mean."
)
@click.option("--tta", is_flag=True, help="Average with the mirror image, as tvseg predict does.")
@options.shape
@options.adapt
@click.option(
    "--roi",
    type=click.Choice(["none", "auto"]),
    default="none",
    help="Region of interest: the whole picture, or found by the localizer.",
)
@click.option(
    "--ensemble",
    is_flag=True,
    help="Also score the averaged probabilities of each variant's runs on a held-out centre.",
)
@click.option(
    "--ensemble-variants",
    is_flag=True,
    help="Also score the averaged probabilities of the runs of all variants on a held-out centre.",
)
@click.option(
    "--shifts",
    metavar="PERCENT,...",
    callback=_shares,
    help="Also score regions moved by these percentages of their side, e.g. 0,5,10,20.",
)
@options.device
@click.option(
    "--predictions", type=options.PATH, help="Folder of label images to score instead of runs."
)
@click.option(
    "--truth", type=options.PATH, help="Folder of the true label images of the same names."
)
@click.option(
    "--centre-encoding",
    metavar="{VALUE: [NAMES], ...}",
    default=BENCHMARK,
    help="Structures of each pixel value of --truth, and of --predictions by default.",
)
@click.option(
    "--prediction-encoding",
    metavar="{VALUE: [NAMES], ...}",
    help="Structures of each pixel value of --predictions.",
)
@click.option("--out", type=options.PATH, help="Folder for the rows and tables of --predictions.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    runs: tuple[Path, ...],
    data: Path | None,
    protocol: str,
    images: str,
    size: str | None,
    checkpoint: str,
    intervals: bool,
    tta: bool,
    shape: str,
    adapt: str,
    roi: str,
    ensemble: bool,
    ensemble_variants: bool,
    shifts: tuple[float, ...] | None,
    device: str | None,
    predictions: Path | None,
    truth: Path | None,
    centre_encoding: str,
    prediction_encoding: str | None,
    out: Path | None,
) -> None:
    """Score finished runs on the centre that each has not seen, and print the table.

    RUNS are run folders or folders of them (default: ./runs). Runs of different settings, precision
    or data are put in separate tables. Rows, means and tables are written to each run's eval
    folder.

    With --predictions and --truth, score masks of any origin, paired by file name. Files that
    cannot be scored are listed, and the others scored (exit code 3).
    """
    from tvseg.data.centres import parse_encoding
    from tvseg.evaluation.scoring.protocols import PROTOCOLS, Scoring

    rules = PROTOCOLS[protocol].on_grid(size).shaped(shape)
    if predictions is None and truth is None:
        _refuse(ctx, OF_FOLDERS, "without --predictions")
        scoring = Scoring(rules, images, checkpoint, tta, roi, adapt)
        _evaluate_runs(
            runs, data, scoring,
            shifts=shifts, ensembles=["seeds"] * ensemble + ["variants"] * ensemble_variants,
            device=device, intervals=intervals,
        )  # fmt: skip
        return
    if predictions is None or truth is None:
        raise click.UsageError("--predictions and --truth must be given together")
    _refuse(ctx, OF_RUNS, "with --predictions, which need no network")
    true = parse_encoding(centre_encoding)
    predicted = parse_encoding(prediction_encoding or centre_encoding, true.structures)
    _evaluate_folders(predictions, truth, rules, (true, predicted), out, intervals=intervals)


def _refuse(ctx: click.Context, names: Sequence[str], where: str) -> None:
    """Raise UsageError if one of the named parameters was given."""
    given = [
        name.upper() if name == "runs" else f"--{name.replace('_', '-')}"
        for name in names
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        it = "it" if len(given) == 1 else "them"
        raise click.UsageError(f"{', '.join(given)} cannot be used {where}; leave {it} out")


def _evaluate_runs(
    runs: Sequence[Path],
    data: Path | None,
    scoring: "Scoring",
    *,
    shifts: tuple[float, ...] | None,
    ensembles: Sequence[str],
    device: str | None,
    intervals: bool,
) -> None:
    import pandas as pd

    from tvseg.cli.tables import print_table
    from tvseg.evaluation.report.groups import caption, group_runs
    from tvseg.evaluation.scoring.members import members
    from tvseg.evaluation.scoring.runs import evaluate_run, find_runs, open_runs
    from tvseg.evaluation.scoring.shifts import evaluate_shifts, summarise_shifts
    from tvseg.evaluation.tables.layout import shift_table
    from tvseg.evaluation.tables.write import check_writable, write_tables

    known: dict[Path, set[str]] = {}  # fingerprints found, by data root
    groups = group_runs(find_runs(runs or (Path("runs"),)), by_holdout=scoring.images == "sources")
    for run in (run for group in groups for run in group):
        check_writable(scoring.folder(run))
    for group in groups:
        rows, moved, folders = [], [], []
        for scored in [[run] for run in group] + members(group, ensembles, _name_and_holdout):
            root = options.find_data(data, scored[0].info().get("data"))
            subject = open_runs(
                scored,
                scoring,
                root=root,
                device=device,
                known=known.setdefault(root, set()),
            )
            rows.append(evaluate_run(subject))
            folders.append(scoring.folder(subject.run))
            if shifts is not None:
                moved.append(evaluate_shifts(subject, shifts=shifts))
        words = caption(group, scoring)
        print_table(write_tables(pd.concat(rows), words, folders, intervals=intervals))
        if moved:
            print_table(shift_table(summarise_shifts(pd.concat(moved))))
        for folder in folders:
            click.echo(folder / "cases.csv")


def _name_and_holdout(run: "RunFolder") -> tuple[str, str]:
    return run.settings().display_name, str(run.info()["holdout"])


def _evaluate_folders(
    predictions: Path,
    truth: Path,
    protocol: "Protocol",
    encodings: tuple["MaskEncoding", "MaskEncoding"],
    out: Path | None,
    *,
    intervals: bool,
) -> None:
    from tvseg.cli.tables import print_table
    from tvseg.evaluation.scoring.folders import score_folders, write_scored
    from tvseg.evaluation.tables.write import check_writable, write_tables

    if out is not None:
        check_writable(out)
    scored = score_folders(
        predictions,
        truth,
        protocol=protocol,
        truth_encoding=encodings[0],
        prediction_encoding=encodings[1],
    )
    count = len(scored.rows) // len(encodings[0].structures)
    if count:
        caption = (
            f"Masks of {predictions} against {truth}, taken as they are; protocol {protocol.name}: "
            f"{protocol.scoring_words}."
        )
        if out:
            write_scored(out, scored, caption, protocol)
        folders = [out] if out else []
        print_table(write_tables(scored.rows, caption, folders, intervals=intervals))
    for name, reason in scored.failed.items():
        click.echo(escaped(f"{name}: {reason}"), err=True)
    if scored.failed:
        failed = len(scored.failed)
        click.echo(f"{count} of {count + failed} pairs scored, {failed} failed.", err=True)
        sys.exit(3 if count else 1)
