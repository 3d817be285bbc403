"""Types of arguments and options that several commands take."""

import math
import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tvseg.settings import SegmentationSettings

Command = Callable[..., Any]


class FiniteRange(click.FloatRange):
    """A range of numbers; ``nan``, which click lets through every range, is none of them."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail as wrong usage."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is not a finite number.", param, ctx)
        return number


PATH = click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
COUNT = click.IntRange(min=1)
SEED = click.IntRange(0, 2**63 - 1)

SETTINGS = (
    "YAML file of settings, or a shipped one's name, such as tvconv; repeatable, later ones win."
)
"""Help of ``--config`` where a run is set up."""

device = click.option("--device", help="Device (cuda, mps, cpu); auto-detected by default.")
checkpoint = click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    help="Weights to use: of the selected epoch, or of the last.",
)
adapt = click.option(
    "--adapt",
    type=click.Choice(["none", "batchnorm"]),
    default="none",
    help="batchnorm: take the statistics of batch norm from these photographs, all together, "
    "instead of those of training.",
)
shape = click.option(
    "--shape",
    type=click.Choice(["free", "ellipse"]),
    default="free",
    help="Write masks as the network draws them, or an ellipse for each structure; ellipses hide "
    "notches of the rim.",
)
overrides = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def training_data(given: Path | None, settings: "SegmentationSettings") -> Path | None:
    """Return the data root of a training, ``None`` where all its photographs are drawn."""
    if settings.phantoms < 1:
        return find_data(given, settings.data)
    if given:
        click.echo("--data is not read: with phantoms=1 all photographs are drawn", err=True)
    return None


def find_data(given: Path | None, stored: str | None) -> Path:
    """Return the data root: the option's, else the stored one, else that of ``$TVSEG_DATA``."""
    from tvseg.data.cases import find_root

    return find_root(given, stored, os.environ.get("TVSEG_DATA"))


def config_files(words: str) -> Callable[[Command], Command]:
    """Return the option ``--config``, repeatable, as the parameter ``configs``.

    Args:
        words: Help; what the files hold.
    """
    return click.option("--config", "configs", multiple=True, type=PATH, help=words)


_SCORING = (
    click.option(
        "--data", type=PATH, help="Data root (default: that of each run, else $TVSEG_DATA)."
    ),
    click.option(
        "--protocol",
        type=click.Choice(["honest", "paper"]),
        default="honest",
        help="Rules by which masks are made and scored; paper: those of the published code.",
    ),
    click.option(
        "--images",
        type=click.Choice(["test", "all", "sources"]),
        default="test",
        help="Images to score: the unseen centre's test split, or all of its, or the test splits "
        "of the centres trained on.",
    ),
    click.option(
        "--size",
        type=click.Choice(["native", "800"]),
        help="Side in px of the grid to score on (default: honest native, paper 800).",
    ),
    checkpoint,
)


def scoring(command: Command) -> Command:
    """Add the options that identify a scoring: images, protocol, grid, checkpoint."""
    return reduce(lambda given, option: option(given), reversed(_SCORING), command)
