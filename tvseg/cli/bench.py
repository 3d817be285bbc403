"""``tvseg bench``."""

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvseg.cli import options

if TYPE_CHECKING:
    import torch

    from tvseg.bench.measurement import Measurement


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every benchmark."""
    for option in (
        click.option("--out", type=options.PATH, help="Folder for CSV and plots."),
        click.option("--check", is_flag=True, help="Exit 1 below two thirds of the targets."),
        click.option("--threads", default=1, type=options.COUNT),
        click.option("--rounds", default=7, type=options.COUNT),
    ):
        command = option(command)
    return command


@click.group()
def bench() -> None:
    """Measure TVConv and other forms side by side, interleaved in one process.

    A form whose results differ from the plain torch form is not timed, and the exit code is 1.
    """
    for name, level in (("KINETO_LOG_LEVEL", "6"), ("TORCH_CPP_LOG_LEVEL", "ERROR")):
        os.environ.setdefault(name, level)  # else torch's profiler reports every start


@bench.command()
@click.option("--sizes", is_flag=True, help="Time and memory against channels, map size, batch.")
@click.option("--device", default="cpu", help="cpu or cuda.")
@_options
def operator(
    sizes: bool, device: str, rounds: int, threads: int, check: bool, out: Path | None
) -> None:
    """Measure the operator alone, in the shapes of the ASPP and of MobileNetV2.

    "x published" counts from the published form: unfolded input, weights generated in each forward
    pass; with the backward pass, weights given. "peak MB" is of all tensors of the call. "of copy"
    is the bandwidth reached, in bytes that the form must move, relative to a large copy's.
    """
    from tvseg.bench.operator import ASPP, MOBILENET, SWEEPS, measure_operator
    from tvseg.bench.report import write_roofline, write_sizes
    from tvseg.bench.timing import arithmetic_peak, stream_bandwidth
    from tvseg.device import choose_device

    _prepare(threads)
    shapes = [*ASPP, *MOBILENET]
    if sizes:
        shapes = [shape for sweep in SWEEPS.values() for shape in sweep]
    where = choose_device(device)
    if check and where.type != "cpu":
        raise click.UsageError("--check compares with targets for the CPU: leave --device out")
    bandwidth, peak = stream_bandwidth(where), arithmetic_peak(where)
    measured = measure_operator(shapes, bandwidth=bandwidth, rounds=rounds, say=_say, device=where)
    rows = list(measured)
    title = (
        f"{_machine(threads, where)}; copy {bandwidth / 1e9:.1f} GB/s, "
        f"matrix product {peak / 1e9:.0f} GFLOP/s"
    )
    name = "sizes" if sizes else "operator"
    _report(rows, title, name, out)
    if out is not None and sizes:
        write_sizes(rows, out / "sizes.png")
    elif out is not None:
        write_roofline(rows, out / "roofline.png", bandwidth=bandwidth, peak=peak)
    _judge(rows, check)


@bench.command()
@_options
def network(rounds: int, threads: int, check: bool, out: Path | None) -> None:
    """Measure the network on one image of 256 px, with frozen weights where the form can."""
    from tvseg.bench.networks import measure_forward

    _prepare(threads)
    rows = list(measure_forward(rounds=rounds, say=_say))
    _report(rows, _machine(threads), "network", out)
    _judge(rows, check)


@bench.command()
@click.option("--images", default=48, type=click.IntRange(2))
@_options
def training(images: int, rounds: int, threads: int, check: bool, out: Path | None) -> None:
    """Measure a training step: the published form in float32, ours as `tvseg train` does."""
    from tvseg.bench.networks import measure_training

    _prepare(threads)
    rows = list(measure_training(batch=images, rounds=rounds, say=_say))
    _report(rows, _machine(threads), "training", out)
    _judge(rows, check)


@bench.command()
@click.option("--images", default=128, show_default=True, help="Of a training step.",
              type=click.IntRange(2))  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@_options
def backbone(
    images: int, device: str, rounds: int, threads: int, check: bool, out: Path | None
) -> None:
    """MobileNetV2 of 96 px with TVConv in every layer, beside the depthwise one.

    Inference with kept weights, and a training step, in both memory formats (NHWC where none is
    named); "/ depthwise" is the time relative to the depthwise network in the same format.
    """
    from tvseg.bench.backbones import measure_backbones
    from tvseg.device import choose_device

    _prepare(threads)
    where = choose_device(device)
    rows = list(measure_backbones(rounds=rounds, say=_say, images=images, device=where))
    _report(rows, _machine(threads, where), "backbone", out)
    _judge(rows, check)


@bench.command()
@click.option("--quick", is_flag=True, help="Only the narrowest networks, batches 1 and 16.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option(
    "--accuracies",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV file with columns backbone, width, operator, accuracy, a row per run, to plot.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for CSV and plots.")
def zoo(quick: bool, device: str, accuracies: Path | None, out: Path | None) -> None:
    """Every operator in the paper's backbones for faces of 96 px.

    Multiply-accumulates by two counts, parameters, the best throughput over batches of 1 to 16 and
    1, 2 and 4 threads, and the peak memory of a batch of 8 in a process of its own.
    """
    from tvseg.bench.zoo import QUICK, Plan, measure_zoo
    from tvseg.bench.zoo_networks import entries
    from tvseg.bench.zoo_report import (
        read_accuracies,
        tables,
        with_accuracies,
        write_csv,
        write_plots,
    )
    from tvseg.cli.tables import print_table
    from tvseg.device import choose_device
    from tvseg.evaluation.tables.table import Table

    known = {} if accuracies is None else read_accuracies(accuracies)
    where = choose_device(device)
    plan = QUICK if quick else Plan()
    measured = measure_zoo(entries(quick=quick), plan=plan, say=_say, device=where)
    rows = with_accuracies(list(measured), known)
    click.echo(_machine(max(plan.threads), where))
    for words, frame in tables(rows):
        print_table(Table.of(words, frame, heads=2))
    if out is not None:
        write_csv(rows, out)
        write_plots(rows, out)
    refused = [f"{row.backbone} x{row.width}, {row.operator}: differs from float64 by "
               f"{row.error:.1e} and was not timed" for row in rows if row.refused]  # fmt: skip
    for line in refused:
        click.echo(line, err=True)
    if refused:
        raise click.exceptions.Exit(1)


def _prepare(threads: int) -> None:
    import torch

    from tvseg.device import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()  # else every large result of every form pays for its pages anew


def _machine(threads: int, device: "torch.device | None" = None) -> str:
    import torch

    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{_processor()}, {threads} thread{'s' * (threads > 1)}, {capability}"


def _processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "CPU")


def _say(words: str) -> None:
    click.echo(words, err=True)


def _report(rows: "Sequence[Measurement]", title: str, name: str, out: Path | None) -> None:
    from tvseg.bench.report import tables, write_csv
    from tvseg.cli.tables import print_table
    from tvseg.evaluation.tables.table import Table

    click.echo(title)
    for words, frame in tables(rows):
        print_table(Table.of(words, frame))
    if out is not None:
        write_csv(rows, out / f"{name}.csv")


def _judge(rows: "Sequence[Measurement]", check: bool) -> None:
    """Print what failed, and exit with 1 if something did."""
    from tvseg.bench.targets import misses, refusals

    failed = [*refusals(rows), *(misses(rows) if check else ())]
    for line in failed:
        click.echo(line, err=True)
    if failed:
        raise click.exceptions.Exit(1)
