"""``tvseg data check``."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvseg.cli import options
from tvseg.errors import escaped

if TYPE_CHECKING:
    from tvseg.data.check.findings import Finding


@click.command()
@click.argument("root", type=options.FOLDER)
@options.config_files("YAML file that describes the centres; may be given again.")
@click.option("--sheet", type=options.FILE, help="PNG file to draw: how the centres differ.")
@click.option("--csv", type=options.FILE, help="CSV file to write: every problem and warning.")
@click.option("--cases", type=options.FILE, help="CSV file to write: the measures of every case.")
@click.option(
    "--lines",
    type=options.COUNT,
    default=10,
    help="Lines of each kind of problem or warning to print.",
)
def check(
    root: Path,
    configs: tuple[Path, ...],
    sheet: Path | None,
    csv: Path | None,
    cases: Path | None,
    lines: int,
) -> None:
    """Count, measure and compare everything below ROOT.

    Exit code 1 when there are problems: what training refuses, or what makes a score untrue.
    Warnings are for you to judge.
    """
    from tvseg.cli.tables import print_table
    from tvseg.config import load_settings
    from tvseg.csv_files import write_csv
    from tvseg.data.centres import centres_of
    from tvseg.data.check import check_data
    from tvseg.data.check.measures import appearance_table, case_table, count_table, structure_table
    from tvseg.evaluation.tables.table import Table
    from tvseg.files import write_text

    settings = load_settings(configs)
    centres = centres_of(settings)
    report = check_data(root, centres)
    if report.examined:
        print_table(Table.of("Cases", count_table(report.examined, centres), heads=3))
        structures = structure_table(report.examined)
        print_table(Table.of("Structures: median (5-95 %)", structures, heads=3))
        print_table(Table.of("Appearance: median (5-95 %)", appearance_table(report.examined)))
    if report.left_alone:
        names = ", ".join(map(escaped, report.left_alone))
        click.echo(f"Left alone, no centre in the settings: {names}")
    if sheet is not None and report.examined:
        from tvseg.data.check.sheet import draw_sheet

        draw_sheet(sheet, report.examined, report.sums, centres)
        click.echo(f"Drew {sheet}")
    if csv is not None:
        write_csv(csv, _listing(report.findings, root))
    if cases is not None:
        table = case_table(report.examined)
        write_text(cases, table.to_csv(index=False, float_format="%.4f"))
    _print_findings(report.warnings, "Warning", root, lines)
    _print_findings(report.problems, "Problem", root, lines)
    counts = f"{_count(report.problems, 'problem')}, {_count(report.warnings, 'warning')}."
    click.echo(counts[0].upper() + counts[1:], err=bool(report.problems))
    sys.exit(1 if report.problems else 0)


def _count(findings: "Sequence[Finding]", word: str) -> str:
    return f"{len(findings) or 'no'} {word}{'' if len(findings) == 1 else 's'}"


def _print_findings(findings: "Sequence[Finding]", word: str, root: Path, lines: int) -> None:
    """Plain lines, none of them broken, so that they can be searched."""
    from tvseg.data.check.findings import KINDS

    for kind in dict.fromkeys(finding.kind for finding in findings):
        mine = [finding for finding in findings if finding.kind == kind]
        click.echo(f"{word}: {KINDS[kind].title[0].lower() + KINDS[kind].title[1:]} ({len(mine)})")
        rows = [
            [escaped(_short(words, root)) for words in (finding.where, finding.what)]
            for finding in mine[:lines]
        ]
        width = max(len(where) for where, _ in rows)
        for where, what in rows:
            click.echo(f"  {where:<{width}}  {what}")
        if len(mine) > lines:
            click.echo(f"  ... and {len(mine) - lines} more")


def _listing(findings: "Sequence[Finding]", root: Path) -> "Iterator[dict[str, str]]":
    from tvseg.data.check.findings import KINDS

    for one in findings:
        severity = "problem" if KINDS[one.kind].is_problem else "warning"
        where, what = (_short(words, root) for words in (one.where, one.what))
        yield {"severity": severity, "kind": one.kind, "where": where, "what": what}


def _short(words: str, root: Path) -> str:
    """Files as they lie below the root."""
    return words.replace(f"{root}/", "")
