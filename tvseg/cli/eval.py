"""``tvseg eval``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvseg.cli import options

if TYPE_CHECKING:
    from tvseg.data.centres import MaskEncoding
    from tvseg.evaluation.report.groups import Scoring
    from tvseg.evaluation.scoring.protocols import Protocol

BENCHMARK = "{0: [cup, disc], 128: [disc], 255: []}"


def _shares(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Comma-separated percentages as shares."""
    if value is None:
        return None
    try:
        return tuple(float(part) / 100 for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"must be percentages such as 0,5,10,20, got {value!r}") from error


@click.command(name="eval")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@options.scoring
@click.option("--tta", is_flag=True, help="Average with the mirror image, as tvseg predict does.")
@click.option(
    "--roi",
    type=click.Choice(["none", "auto"]),
    default="none",
    show_default=True,
    help="Region of interest: none takes whole pictures, auto finds the disc by the localizer.",
)
@click.option(
    "--ensemble",
    is_flag=True,
    help="Also score, for each variant and held-out centre, the average of its runs.",
)
@click.option(
    "--shifts",
    metavar="PERCENT,...",
    callback=_shares,
    help="Also score with the region moved by these percentages of its side, e.g. 0,5,10,20.",
)
@options.device
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    help="Score this folder of label images instead of runs.",
)
@click.option(
    "--truth", type=click.Path(path_type=Path), help="Folder of true label images, same names."
)
@click.option(
    "--centre-encoding",
    metavar="{VALUE: [NAMES], ...}",
    default=BENCHMARK,
    show_default=True,
    help="What the pixel values of --truth mean, and of --predictions unless told otherwise.",
)
@click.option(
    "--prediction-encoding",
    metavar="{VALUE: [NAMES], ...}",
    help="What those of --predictions mean.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --predictions: folder for rows and tables."
)
def evaluate(
    runs: tuple[Path, ...],
    data: Path | None,
    protocol: str,
    images: str,
    size: str | None,
    checkpoint: str,
    tta: bool,
    roi: str,
    ensemble: bool,
    shifts: tuple[float, ...] | None,
    device: str | None,
    predictions: Path | None,
    truth: Path | None,
    centre_encoding: str,
    prediction_encoding: str | None,
    out: Path | None,
) -> None:
    """Score finished runs on the centre that each has not seen, and print the table.

    RUNS are run folders or folders of them, by default ./runs. Runs of different settings or data
    get tables of their own. Rows, means and tables are kept in each run's eval folder.

    With --predictions and --truth, masks of any origin are scored: files are paired by name. Those
    that cannot be scored are listed and the rest goes on (exit code 3).
    """
    from tvseg.data.centres import parse_encoding
    from tvseg.evaluation.report.groups import Scoring
    from tvseg.evaluation.scoring.protocols import find_protocol

    rules = find_protocol(protocol).on_grid(size)
    if predictions is None and truth is None:
        if out is not None:
            raise click.UsageError("--out goes with --predictions; runs keep their own results")
        scoring = Scoring(rules, images, checkpoint, tta, roi)
        _evaluate_runs(runs, data, scoring, shifts=shifts, ensemble=ensemble, device=device)
        return
    if predictions is None or truth is None:
        raise click.UsageError("--predictions and --truth must be given together")
    if runs or shifts is not None or tta or ensemble or roi != "none":
        raise click.UsageError(
            "--predictions takes neither RUNS nor --shifts, --tta, --roi or --ensemble: it has no "
            "network"
        )
    true = parse_encoding(centre_encoding)
    predicted = parse_encoding(prediction_encoding or centre_encoding, true.structures)
    _evaluate_folders(predictions, truth, rules, (true, predicted), out)


def _evaluate_runs(
    runs: Sequence[Path],
    data: Path | None,
    scoring: "Scoring",
    *,
    shifts: tuple[float, ...] | None,
    ensemble: bool,
    device: str | None,
) -> None:
    import pandas as pd

    from tvseg.cli.tables import print_table
    from tvseg.evaluation.report.groups import caption, group_runs
    from tvseg.evaluation.scoring.runs import (
        evaluate_run,
        evaluation_folder,
        find_runs,
        members,
        open_runs,
    )
    from tvseg.evaluation.scoring.shifts import evaluate_shifts, summarise_shifts
    from tvseg.evaluation.tables.layout import shift_table
    from tvseg.evaluation.tables.write import write_tables

    known: dict[Path, set[str]] = {}  # fingerprints found, by data root
    for group in group_runs(find_runs(runs or (Path("runs"),))):
        rows, moved, folders = [], [], []
        for scored in [[run] for run in group] + (members(group) if ensemble else []):
            root = options.find_data(data, scored[0].info().get("data"))
            subject = open_runs(
                scored,
                scoring.options,
                root=root,
                device=device,
                known=known.setdefault(root, set()),
            )
            rows.append(evaluate_run(subject, scoring.protocol))
            folders.append(evaluation_folder(subject.run, scoring.protocol, scoring.options))
            if shifts is not None:
                moved.append(evaluate_shifts(subject, scoring.protocol, shifts=shifts))
        print_table(write_tables(pd.concat(rows), caption(group, scoring), folders))
        if moved:
            print_table(shift_table(summarise_shifts(pd.concat(moved))))
        for folder in folders:
            click.echo(folder / "cases.csv")


def _evaluate_folders(
    predictions: Path,
    truth: Path,
    protocol: "Protocol",
    encodings: tuple["MaskEncoding", "MaskEncoding"],
    out: Path | None,
) -> None:
    from tvseg.cli.tables import print_table
    from tvseg.evaluation.scoring.folders import score_folders, write_scored
    from tvseg.evaluation.tables.write import write_tables

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
        print_table(write_tables(scored.rows, caption, [out] if out else []))
    for name, reason in scored.failed.items():
        click.echo(f"{name}: {reason}", err=True)
    if scored.failed:
        click.echo(f"{len(scored.failed)} could not be scored, {count} were.", err=True)
        sys.exit(3 if count else 1)
