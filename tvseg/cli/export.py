"""``tvseg export``."""

from pathlib import Path

import click

from tvseg.errors import UsageError, UserError


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(["hub"]),
    required=True,
    help="hub: a folder for the Hugging Face hub, with a model card.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--licence",
    default="other",
    show_default=True,
    help="Licence of the weights as the hub names it, such as cc-by-4.0; they derive from the "
    "training photographs, whose terms count.",
)
@click.option(
    "--push", "repository", help="Upload to this repository of the hub, ORGANISATION/NAME."
)
def export(run: Path, target: str, out: Path, licence: str, repository: str | None) -> None:
    """Write the network of RUN, a finished run folder, for other programs."""
    if repository is not None and target != "hub":
        raise UsageError(f"--push belongs to --to hub, not to --to {target}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} must be a new or an empty folder")
    from tvseg.files import temporary_folder
    from tvseg.integrations.hub import export_hub, push
    from tvseg.runs.folder import RunFolder

    out.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(out.parent, "export") as folder:
        export_hub(RunFolder(run), folder, licence=licence, source=repository or str(out))
        if out.exists():
            out.rmdir()
        folder.rename(out)
    click.echo(f"Wrote {out}")
    if repository is not None:
        click.echo(f"Pushed to {push(out, repository)}")
