"""``tvseg eval``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from tvseg.training.run_folder import RunFolder


@click.command(name="eval")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Data root; else that of each run, else $TVSEG_DATA.",
)
@click.option(
    "--protocol", type=click.Choice(["honest", "paper"]), default="honest", show_default=True
)
@click.option(
    "--images",
    type=click.Choice(["test", "all"]),
    default="test",
    show_default=True,
    help="The unseen centre's test split, or all its images.",
)
@click.option(
    "--checkpoint", type=click.Choice(["best", "last"]), default="best", show_default=True
)
@click.option("--device", help="cuda, cpu, ...; chosen by itself when not given.")
def evaluate(
    runs: tuple[Path, ...],
    data: Path | None,
    protocol: str,
    images: str,
    checkpoint: str,
    device: str | None,
) -> None:
    """Score finished runs on the centre that each has not seen, and print the table.

    RUNS are run folders or folders of them, by default ./runs. Runs of different settings or data
    get tables of their own.
    """
    import pandas as pd
    from rich.console import Console

    from tvseg.data.cases import find_root
    from tvseg.device import choose_device
    from tvseg.evaluation.evaluate import evaluate_run, evaluation_folder, find_runs
    from tvseg.evaluation.grouping import group_runs
    from tvseg.evaluation.protocols import find_protocol
    from tvseg.evaluation.tables import layout, summarise, to_markdown
    from tvseg.files import write_text

    rules = find_protocol(protocol)
    console = Console()
    known: dict[Path, set[str]] = {}  # fingerprints found, by data root
    for group in group_runs(find_runs(runs or (Path("runs"),))):
        tables = []
        for run in group:
            root = find_root(data, run.info().get("data"), os.environ.get("TVSEG_DATA"))
            scored = evaluate_run(
                run,
                root=root,
                protocol=rules,
                images=images,
                checkpoint=checkpoint,
                device=choose_device(device),
                known=known.setdefault(root, set()),
            )
            tables.append(scored)
        summary = summarise(pd.concat(tables))
        caption = _caption(group, rules.name, rules.words, images, checkpoint)
        table = layout(summary)
        _print(console, table, caption)
        for run in group:
            folder = evaluation_folder(run, rules, images, checkpoint)
            write_text(folder / "table.md", to_markdown(table, caption))
            write_text(folder / "table.csv", summary.to_csv(index=False))
            console.print(f"{folder / 'cases.csv'}", highlight=False, soft_wrap=True)


def _caption(
    group: Sequence["RunFolder"], name: str, words: str, images: str, checkpoint: str
) -> str:
    chosen = (
        sorted({run.info()["chosen"] for run in group}) if checkpoint == "best" else ["last epoch"]
    )
    which = "test split" if images == "test" else "all images"
    unseen = group[0].info()["holdout"] != "none"
    whose = f"Unseen centre, {which}" if unseen else "Test splits of the centres trained on"
    return (
        f"{whose}; protocol {name}: {words}; checkpoint {', '.join(chosen)}; "
        f"data {group[0].info()['fingerprint']}."
    )


def _print(console: "Console", table: "pd.DataFrame", caption: str) -> None:
    from rich.table import Table

    console.print(caption, highlight=False)
    grid = Table(header_style="bold")
    for column in table.columns:
        grid.add_column(
            column, justify="left" if column in ("Metric", "Task", "Centre") else "right"
        )
    previous = None
    for row in table.itertuples(index=False):
        if previous not in (None, row[0]):
            grid.add_section()
        previous = row[0]
        grid.add_row(*(str(cell) for cell in row), style="bold" if row[1] == "mean" else "")
    console.print(grid)
