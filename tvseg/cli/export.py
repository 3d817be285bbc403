"""``tvseg export``."""

from pathlib import Path

import click

from tvseg.errors import UsageError, UserError


@click.command()
@click.argument("run", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(["hub", "bundle", "onnx"]),
    required=True,
    help="hub: a folder for the Hugging Face hub, with a model card; bundle: a MONAI bundle; onnx: "
    "graphs for ONNX Runtime, and for tvseg predict without torch.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--licence",
    help="Licence of the weights as the hub names it, such as cc-by-4.0 (default: other); they "
    "derive from the training photographs, whose terms count.",
)
@click.option(
    "--push", "repository", help="Upload to this repository of the hub, ORGANISATION/NAME."
)
@click.option(
    "--int8",
    "photographs",
    type=click.Path(exists=True, path_type=Path),
    help="Compute in 8-bit integers, with ranges learnt from these photographs (folder, file or "
    "CSV list); how much the masks change is printed.",
)
def export(
    run: Path | None,
    target: str,
    out: Path,
    licence: str | None,
    repository: str | None,
    photographs: Path | None,
) -> None:
    """Write the network of RUN, a finished run folder, for other programs.

    With --to onnx, RUN may be a checkpoint file, and is by default the starter weights.
    """
    if target != "onnx" and (run is None or not run.is_dir()):
        raise UsageError(f"--to {target} needs RUN, a finished run folder")
    if licence is not None and target == "onnx":
        raise UsageError("--licence belongs to --to hub and --to bundle, not to --to onnx")
    if repository is not None and target != "hub":
        raise UsageError(f"--push belongs to --to hub, not to --to {target}")
    if photographs is not None and target != "onnx":
        raise UsageError(f"--int8 belongs to --to onnx, not to --to {target}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} must be a new or an empty folder")
    from tvseg.files import temporary_folder
    from tvseg.runs.folder import RunFolder

    out.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(out.parent, "export") as folder:
        if target == "onnx" or run is None:
            from tvseg.integrations.onnx import export_onnx

            export_onnx(run, folder)
            if photographs is not None:
                _quantise(folder, photographs)
        elif target == "hub":
            from tvseg.integrations.hub import export_hub

            source = repository or str(out)
            export_hub(RunFolder(run), folder, licence=licence or "other", source=source)
        else:
            from tvseg.integrations.bundle_export import export_bundle

            export_bundle(RunFolder(run), folder, licence=licence or "other")
        if out.exists():
            out.rmdir()
        folder.rename(out)
    click.echo(f"Wrote {out}")
    if repository is not None:
        from tvseg.integrations.hub import push

        click.echo(f"Pushed to {push(out, repository)}")


def _quantise(folder: Path, photographs: Path) -> None:
    from tvseg.inference.input.find import find_photographs
    from tvseg.integrations.onnx_int8 import quantise

    for name, agreement in quantise(folder, find_photographs([photographs])).items():
        click.echo(f"{name}: mean Dice of the masks with those before rounding {agreement:.4f}")
