"""``tvseg sweep``: variants x centres x seeds x any key."""

import os
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvseg.cli import options

if TYPE_CHECKING:
    from tvseg.sweep.cells import SweepFolder
    from tvseg.sweep.engines import Engine, Resources
    from tvseg.sweep.plan import SweepCell, SweepPlan


_ENGINES_OF = {"gpus": ("ray", "slurm"), "address": ("ray",), "slurm": ("slurm",)}
"""Options that not every engine reads, and the engines that do."""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out", type=options.PATH, help="Folder of the sweep; by default sweeps/NAME of FILE's name."
)
@click.option("--data", type=options.PATH, help="Data root; else the file's, else $TVSEG_DATA.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    help="Where cells run.",
)
@click.option("--jobs", type=options.COUNT, default=1, help="Cells at a time.")
@click.option("--cpus", type=options.COUNT, default=1, help="Threads of each cell.")
@click.option(
    "--gpus",
    type=options.FiniteRange(0),
    default=0.0,
    help="GPUs of each cell of ray or slurm; with ray also a part of one, for several cells on it.",
)
@click.option("--address", help="Address of a running Ray cluster, for --engine ray.")
@click.option(
    "--slurm",
    "slurm_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of submitit for --engine slurm, e.g. timeout_min=240 or slurm_partition=gpu; may "
    "be given again.",
)
@click.option("--retry-failed", is_flag=True, help="Run failed cells again.")
@click.option("--dry-run", is_flag=True, help="Print the plan and the time left, run nothing.")
def sweep(
    file: Path, out: Path | None, data: Path | None, engine: str, jobs: int, cpus: int, gpus: float,
    address: str | None, slurm_options: tuple[str, ...], retry_failed: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Train and score every cell of the sweep FILE that is not finished yet.

    FILE names variants, holdouts or sources, seeds, and a grid of any keys; docs/how-to/sweeps.md
    has an example. Each cell is a training in a process of its own, with its own log; one that is
    killed is tried again from its last checkpoint, one that fails never stops the others.
    Interrupted sweeps continue when the command is given again; a changed FILE runs only what is
    new.

    Exit code 3 when some cells failed, which sweep.md lists, or another training holds their run
    folders. Exit code 4 when Ctrl-C or SIGTERM has stopped a local sweep, its trainings after their
    step.
    """
    from tvseg.data.file_digests import read_digests
    from tvseg.sweep.cells import SweepFolder, check_free, state_of
    from tvseg.sweep.plan import read_plan
    from tvseg.sweep.progress import progress_of

    _refuse_options_of_others(engine, gpus=gpus, address=address, slurm=slurm_options)
    folder = SweepFolder(out or Path("sweeps") / file.stem)
    check_free(folder)
    chosen = _slurm_options(slurm_options)
    plan = read_plan(
        file, data=data, default_data=os.environ.get("TVSEG_DATA"),
        known=read_digests(folder.digests), reads_data=not dry_run or folder.has_begun,
    )  # fmt: skip
    if dry_run:
        for cell in plan.cells:
            click.echo(f"{state_of(plan, cell, folder):8}  {cell.name}")
        click.echo(str(progress_of(plan, folder, jobs=jobs)))
        return
    from tvseg.extras import require
    from tvseg.sweep.engines import ENGINES, Resources, SweepStopped

    if plan.file.sources:
        require("matplotlib")
    resources = Resources(jobs, cpus, gpus, address, chosen)
    skip = {"finished"} if retry_failed else {"finished", "failed"}
    try:
        with folder.held():
            waiting = [cell for cell in plan.cells if state_of(plan, cell, folder) not in skip]
            _run(plan, waiting, folder, ENGINES[engine], resources)
    except KeyboardInterrupt as interrupt:
        raise SweepStopped.of(plan, folder) from interrupt


def _refuse_options_of_others(engine: str, **values: object) -> None:
    """Raise UsageError if an option is given that the engine does not read."""
    for name, value in values.items():
        if value and engine not in _ENGINES_OF[name]:
            where = "; CUDA_VISIBLE_DEVICES chooses the GPU there" if name == "gpus" else ""
            raise click.UsageError(
                f"--{name} must come with --engine {' or '.join(_ENGINES_OF[name])}, got --engine "
                f"{engine}: leave it out{where if engine == 'local' else ''}"
            )


def _draw_cross(plan: "SweepPlan", folder: "SweepFolder") -> None:
    from tvseg.evaluation.plot_style import to_png
    from tvseg.files import write_bytes
    from tvseg.sweep.cross import cross_figure
    from tvseg.sweep.table import cross_table

    path = folder.path / "cross.png"
    write_bytes(path, to_png(cross_figure(cross_table(plan, folder).numbers)))
    click.echo(f"figure: {path}")


def _slurm_options(items: tuple[str, ...]) -> dict[str, Any]:
    """Return ``KEY=VALUE`` items as a dictionary, the values read as YAML."""
    from tvseg.documents import parse_yaml

    pairs = [item.partition("=") for item in items]
    if wrong := [key for key, equals, _ in pairs if not (key and equals)]:
        raise click.BadParameter(f"must read KEY=VALUE, got {wrong[0]!r}", param_hint="--slurm")
    return {key: parse_yaml(value, f"--slurm {key}") for key, _, value in pairs}


def _run(
    plan: "SweepPlan",
    waiting: "list[SweepCell]",
    folder: "SweepFolder",
    engine: "Engine",
    resources: "Resources",
) -> None:
    from rich.live import Live

    from tvseg.cli.tables import grid_of
    from tvseg.sweep.ensembles import score_ensembles
    from tvseg.sweep.progress import progress_of
    from tvseg.sweep.table import write_table

    write_table(plan, folder, jobs=resources.jobs)
    plan.digests.write(folder.digests)
    live = Live(refresh_per_second=1) if sys.stdout.isatty() else None
    failed = 0
    with live or nullcontext(), closing(engine(plan, waiting, folder, resources)) as cells:
        for cell, record in cells:
            table = write_table(plan, folder, jobs=resources.jobs)
            ended = record.state in ("finished", "failed")
            failed += not ended
            if live:
                live.update(grid_of(table, live.console.encoding))
            if not (live and ended):  # of the others the table says nothing
                why = f" ({record.reason})" if record.reason else ""
                progress = progress_of(plan, folder, jobs=resources.jobs)
                click.echo(f"{cell.name}: {record.state}{why}; {progress}")
    for name, reason in score_ensembles(plan, folder):
        click.echo(f"{name}: {reason or 'scored'}", err=bool(reason))
        failed += bool(reason)
    write_table(plan, folder, jobs=resources.jobs)
    progress = progress_of(plan, folder)
    click.echo(f"{progress}; table: {folder.path / 'sweep.md'}")
    if plan.file.sources:
        _draw_cross(plan, folder)
    sys.exit(3 if progress.failed or failed else 0)
