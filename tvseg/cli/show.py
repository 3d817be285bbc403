"""``tvseg show affinity`` and ``tvseg show layout``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvseg.cli import options
from tvseg.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from tvseg.runs.cards import SegmentationCard
    from tvseg.verification.network import FaceCard

VARIANCES = {
    "within a picture": "intra",
    "between pictures": "cross",
    "ratio": "ratio",
    "between, moved": "cross_moved",
    "ratio, moved": "ratio_moved",
}
NOTE = """\
spread: standard deviation of a map over its positions. kernels vary: share of the generated
kernels' mean square that changes with position. with constant maps: what of it remains when each
map is set to its mean, since padding and layer norm in the generator distinguish positions too.
"""


@click.group()
def show() -> None:
    """Draw what TVConv has learned of positions, or whether photographs share a layout."""


@show.command()
@click.argument("run", type=options.FOLDER)
@options.checkpoint
@click.option(
    "--out", type=options.FILE, help="PNG file to draw (default: affinity.png in the run folder)."
)
def affinity(run: Path, checkpoint: str, out: Path | None) -> None:
    """Draw the learned affinity maps of every TVConv layer of RUN, as in the paper's Figure 5.

    For a run trained with train.log_affinity=true, also draw their course over training, to a
    second file whose name ends in -course.png.
    """
    from tvseg.evaluation.analysis.affinity import affinity_figure, course_figure, layer_table
    from tvseg.evaluation.plot_style import to_png
    from tvseg.files import write_bytes
    from tvseg.inference.load import find_checkpoint
    from tvseg.loading import load_trained
    from tvseg.runs.affinity import affinity_maps, read_course
    from tvseg.runs.folder import RunFolder

    folder = RunFolder(run)
    network, card = load_trained(find_checkpoint(run, checkpoint))
    maps = affinity_maps(network)
    if not maps:
        raise UserError(f"{run} must have TVConv layers to draw; {_operator_of(card)} has none")
    out = out or run / "affinity.png"
    pictures = {out: affinity_figure(maps, f"{run.resolve().name}, epoch {card.epoch}")}
    if folder.affinity.is_file():
        course = read_course(folder.affinity)
        beside = out.with_name(f"{out.stem}-course{out.suffix}")
        pictures[beside] = course_figure(course, run.resolve().name)
    table = layer_table(network)
    _print_layers(table)
    for path, figure in pictures.items():
        write_bytes(path, to_png(figure))
        click.echo(f"Drew {path}")
    if not folder.affinity.is_file():
        click.echo("To draw their course over training, train with train.log_affinity=true.")


def _operator_of(card: "SegmentationCard | FaceCard") -> str:
    """Return the setting that names the operator of a network, and its value."""
    key = "aspp" if card.task == "segmentation" else "operator"
    return f"{key}={getattr(card.settings, key)}"


def _print_layers(table: "pd.DataFrame") -> None:
    import pandas as pd

    from tvseg.cli.tables import print_table
    from tvseg.evaluation.tables.table import Table

    percent = {
        "kernels vary [%]": table["kernels"],
        "with constant maps [%]": table["kernels_constant"],
    }
    columns = {
        "layer": table["layer"],
        "maps": table["maps"],
        "least": table["low"].map("{:.4f}".format),
        "greatest": table["high"].map("{:.4f}".format),
        "spread": table["spread"].map("{:.4f}".format),
    } | {head: (100 * values).map("{:.2f}".format) for head, values in percent.items()}
    print_table(Table.of("Affinity maps (1: the published start)", pd.DataFrame(columns)))
    click.echo(NOTE, nl=False)


@show.command()
@click.argument("root", type=options.FOLDER)
@options.config_files(options.SETTINGS)
@click.option(
    "--out", type=options.FILE, help="PNG file to draw: variances, and where photographs agree."
)
@click.option("--csv", type=options.FILE, help="CSV file to write: the table in full precision.")
@options.device
@options.overrides
def layout(
    root: Path,
    configs: tuple[Path, ...],
    out: Path | None,
    csv: Path | None,
    device: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Compare the variance of encoder features within and between the photographs below ROOT.

    TVConv is made for large intra-image and small cross-image variance (the paper's Figure 1e).
    Features are those of the encoder's last map, with the weights at the start of training: set
    encoder, encoder_weights, init and image_size by --config or KEY=VALUE. All images of each
    centre are used, of both splits; masks are not read.
    """
    import torch

    from tvseg.config import load_settings
    from tvseg.data.cases import find_cases
    from tvseg.data.centres import centres_of
    from tvseg.device import choose_device
    from tvseg.evaluation.analysis.layout_statistics import (
        interpretation,
        layout_figure,
        layout_table,
        layouts,
    )
    from tvseg.evaluation.plot_style import to_png
    from tvseg.files import write_bytes, write_text
    from tvseg.runs.first import FirstWeights, first_network, normalisation_of

    settings = load_settings(configs, overrides)
    cases = {letter: find_cases(root, centre) for letter, centre in centres_of(settings).items()}
    where = choose_device(device)
    first = FirstWeights.of(settings)
    torch.manual_seed(settings.seed)  # of weights that are not loaded
    found = layouts(
        cases,
        first_network(settings, first).encoder.eval().to(where),
        image_size=settings.image_size,
        device=where,
        normalisation=normalisation_of(settings, first),
        seed=settings.seed,
    )
    table = layout_table(found)
    source = f"{settings.encoder}, weights {Path(settings.init or settings.encoder_weights).name}"
    _print_variances(table, f"{source}, {settings.image_size} px")
    click.echo(interpretation(found))
    if not settings.init and settings.encoder_weights == "none":
        click.echo("The encoder's weights are random: pretrained ones see more of the layout.")
    if out is not None:
        write_bytes(out, to_png(layout_figure(found)))
        click.echo(f"Drew {out}")
    if csv is not None:
        write_text(csv, table.to_csv(index=False))
        click.echo(f"Wrote {csv}")


def _print_variances(table: "pd.DataFrame", source: str) -> None:
    from tvseg.cli.tables import print_table
    from tvseg.evaluation.tables.table import Table

    shown = table[["centre", "images"]].assign(
        **{head: table[column].map("{:.3f}".format) for head, column in VARIANCES.items()}
    )
    words = f"Variance of encoder features, as shares of each channel's ({source})"
    print_table(Table.of(words, shown))
