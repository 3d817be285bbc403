"""``tvseg predict``."""

import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvseg.cli import options
from tvseg.errors import UsageError, escaped
from tvseg.extras import require

if TYPE_CHECKING:
    from tvseg.inference.input.find import Photograph
    from tvseg.inference.load import Model
    from tvseg.inference.output.folder import OutputFolder
    from tvseg.inference.output.tables import Tally


@click.command()
@click.argument("images", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=options.PATH,
    help="Run folder of tvseg train, a checkpoint file, an exported folder or its id on the hub; "
    "give several to average them. Without it: the starter weights, trained on drawn photographs "
    "alone.",
)
@click.option("--out", required=True, type=options.PATH, help="Folder to write, new or empty.")
@click.option(
    "--formats",
    default="overlay,mask",
    help="Out of overlay, mask, nifti, geojson, labelme, refuge, uncertainty, probability, "
    "dicom-seg, coco; none for the tables alone.",
)
@click.option(
    "--roi",
    default="auto",
    help="Region of interest: auto finds the disc (with a run that has a localizer), none takes "
    "whole pictures, ROW,COL,SIZE is the top left corner and side of a square in px.",
)
@click.option("--tta", is_flag=True, help="Average with the mirror image; twice the time.")
@options.shape
@options.adapt
@click.option(
    "--um-per-px",
    type=options.FiniteRange(min=0.01, max=10_000),
    help="Micrometres per pixel, where no list gives it; measures in micrometres, too.",
)
@click.option("--recursive", is_flag=True, help="Take pictures of sub-folders, too.")
@click.option("--resume", is_flag=True, help="Continue in OUT; keep what is finished.")
@click.option(
    "--batch-size",
    type=options.COUNT,
    default=8,
    help="Photographs that go through the network together on a GPU.",
)
@click.option(
    "--workers",
    type=options.COUNT,
    help="Threads that read and write files and, on a CPU, call the network; by default one for "
    "each core.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Predict part I of N only (1/N to N/N), by the ids of the photographs; all parts may "
    "write the same OUT at once. Given again, it continues. 'tvseg predict-merge OUT' makes the "
    "tables.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="Where photographs are predicted: in this process, or by actors of Ray. Given again, ray "
    "continues.",
)
@click.option("--jobs", type=options.COUNT, default=1, help="Actors of Ray, of --workers cores.")
@click.option("--address", help="Address of a running Ray cluster.")
@options.checkpoint
@options.device
def predict(
    images: tuple[Path, ...], models: tuple[Path, ...], out: Path, formats: str, roi: str,
    tta: bool, shape: str, adapt: str, um_per_px: float | None, recursive: bool, resume: bool,
    batch_size: int, workers: int | None, shard: str | None, engine: str, jobs: int,
    address: str | None, checkpoint: str, device: str | None,
) -> None:  # fmt: skip
    """Outline the structures (disc and cup) on fundus photographs, and measure them.

    IMAGES are picture files (PNG, JPEG, TIFF, BMP, DICOM), folders of them, and lists: CSV or
    Parquet files with the columns id, path (a file, or a URL such as s3://BUCKET/NAME) and, if
    known, laterality (R, L) and um_per_px. Photographs that cannot be read are listed in
    failures.csv, the others are predicted (exit code 3).
    """
    _check(
        shard, engine,
        resume=resume, adapt=adapt, device=device, of_ray=bool(address) or jobs > 1,
    )  # fmt: skip
    from tvseg.inference.input.find import find_photographs

    left_out: Counter[str] = Counter()
    photographs = find_photographs(
        images, recursive=recursive, um_per_px=um_per_px, left_out=left_out
    )
    from tvseg.inference.load import load
    from tvseg.inference.output.folder import OutputFolder
    from tvseg.inference.output.formats import parse_formats
    from tvseg.inference.predict import predict as run_prediction

    names = parse_formats(formats)
    chosen: dict[str, Any] = {
        "device": "cpu" if engine == "ray" else device, "checkpoint": checkpoint,
        "roi": roi, "tta": tta, "shape": shape, "threads": 1,
    }  # fmt: skip
    model = load(models or None, **chosen)
    _print_models(model, roi, given=bool(models))
    folder = OutputFolder(out, formats=names, structures=model.pipeline.encoding.structures)
    about = {**model.about, "formats": names, "um_per_px": um_per_px}
    job = _Job(photographs, model, folder, about | _adapted(model, photographs, adapt))
    threads = workers or options.usable_cores()
    if shard:
        _predict_shard(job, shard, batch_size=batch_size, workers=threads)
        return
    if engine == "ray":
        loaded = {"models": list(models) or None, **chosen}
        tally = _predict_on_ray(
            job, loaded,
            jobs=jobs, batch_size=batch_size, workers=workers or 1, address=address,
        )  # fmt: skip
    else:
        tally = run_prediction(
            photographs, model.pipeline, folder, **job.record(),
            batch_size=batch_size, workers=threads, resume=resume,
        )  # fmt: skip
    print_tally(tally, left_out, out)


def _check(
    shard: str | None, engine: str, *, resume: bool, adapt: str, device: str | None, of_ray: bool
) -> None:
    """Raise UsageError for options that exclude each other, UserError for a missing package."""
    if shard and engine == "ray":
        raise UsageError("give --shard or --engine ray; Ray shares photographs out by itself")
    if resume and (shard or engine == "ray"):
        raise UsageError("--shard and --engine ray continue by themselves; leave --resume out")
    if adapt != "none" and engine == "ray":
        raise UsageError(
            "--adapt cannot be used with --engine ray: each actor sees its own photographs only; "
            "use --shard"
        )
    if device not in (None, "cpu") and engine == "ray":
        raise UsageError(f"--engine ray computes on CPUs, got --device {device}; use --shard")
    if of_ray and engine != "ray":
        raise UsageError("--jobs and --address need --engine ray")
    if shard:
        from tvseg.inference.shards.shard import Shard

        Shard.parse(shard)
    if shard or engine == "ray":
        require("pyarrow")


@dataclass(frozen=True)
class _Job:
    photographs: "Sequence[Photograph]"
    model: "Model"
    folder: "OutputFolder"
    about: Mapping[str, Any]

    def record(self) -> dict[str, Mapping[str, Any]]:
        """Return the arguments of every engine that go into ``run.json``."""
        from tvseg.runs.provenance import provenance

        command = shlex.join(["tvseg", *sys.argv[1:]])
        return {"about": self.about, "provenance": provenance(command, self.model.about["device"])}


def _adapted(model: "Model", photographs: "Sequence[Photograph]", kind: str) -> dict[str, Any]:
    """Adapt a model to the photographs that can be read; return what ``run.json`` says of it."""
    if kind == "none":
        return {}
    from tvseg.inference.adaptation import adapt
    from tvseg.inference.input.read import read_readable

    adapted = adapt(model.pipeline, read_readable(photographs))
    click.echo(
        f"Batch norm adapted to {adapted.regions} of {len(photographs)} photographs: masks depend "
        "on which photographs are predicted together"
    )
    return {"adapt": {kind: adapted.regions, "sha256": adapted.sha256}}


def _predict_shard(job: _Job, shard: str, *, batch_size: int, workers: int) -> None:
    from tvseg.inference.shards.run import advice, predict_shard
    from tvseg.inference.shards.shard import PhotographSet, Shard

    tally, before = predict_shard(
        PhotographSet(job.photographs),
        Shard.parse(shard),
        job.model.pipeline,
        job.folder,
        **job.record(),
        batch_size=batch_size,
        workers=workers,
    )
    total = tally.predicted + tally.failed
    click.echo(
        f"Predicted {tally.predicted} of {total} photographs of shard {shard}, {before} were "
        f"finished before: {job.folder.path}"
    )
    if tally.failed:
        _print_failures(tally)
        click.echo(advice(tally), err=True)
        sys.exit(3)


def _predict_on_ray(
    job: _Job,
    loaded: Mapping[str, Any],
    *,
    jobs: int,
    batch_size: int,
    workers: int,
    address: str | None,
) -> "Tally":
    from tvseg.inference.shards.ray_engine import predict_on_ray
    from tvseg.inference.shards.shard import PhotographSet

    return predict_on_ray(
        PhotographSet(job.photographs),
        job.model.pipeline,
        job.folder,
        **job.record(),
        load_options=loaded,
        jobs=jobs,
        batch_size=batch_size,
        workers=workers,
        address=address,
    )


def _print_models(model: "Model", roi: str, *, given: bool) -> None:
    if not given:
        click.echo(
            "No --model: the starter weights, trained on drawn photographs alone; for research, "
            "not for diagnosis (tvseg/weights/README.md)"
        )
        return
    for card in model.cards:
        click.echo(f"Model of epoch {card.epoch} ({card.chosen}), centre held out: {card.holdout}")
    if roi == "auto" and model.localizer is None:
        click.echo(
            "No localizer in the run: every picture is taken as a region of interest about the "
            "disc ('tvseg train-localizer' makes one)"
        )


def print_tally(tally: "Tally", left_out: Counter[str], out: Path) -> None:
    """Print what became of photographs; exit with 3 when some failed."""
    total = tally.predicted + tally.failed
    click.echo(f"Predicted {tally.predicted} of {total} photographs: {out}")
    for flag, count in sorted(tally.flags.items()):
        click.echo(f"  {flag}: {count}")
    if left_out:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
        click.echo(escaped(f"  left out, not pictures by their names: {kinds}"))
    if tally.failed:
        _print_failures(tally)
        click.echo(f"{tally.failed} failed, listed in {out / 'failures.csv'}", err=True)
        sys.exit(3)


def _print_failures(tally: "Tally") -> None:
    for row in tally.first_failures:
        click.echo(escaped(f"  {row['path']}: {row['reason']}"), err=True)
