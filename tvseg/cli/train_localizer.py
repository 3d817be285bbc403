"""``tvseg train-localizer``."""

from pathlib import Path

import click

from tvseg.cli import options


@click.command("train-localizer")
@click.argument("run", type=options.FOLDER)
@click.option(
    "--data",
    type=options.PATH,
    help="Data root that the run was trained on; else the run's key data, else $TVSEG_DATA.",
)
@click.option(
    "--seed",
    type=options.SEED,
    default=0,
    help="Random seed of draws, composition and initial weights.",
)
@click.option("--steps", type=options.COUNT, default=150, help="Training steps.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Processes that draw photographs, for a run trained on phantoms alone.",
)
@options.device
def train_localizer(
    run: Path, data: Path | None, seed: int, steps: int, workers: int, device: str | None
) -> None:
    """Train a localizer, which finds the disc in full photographs, and store it in the run RUN.

    It learns from the run's source centres alone: their regions of interest, set into drawn
    retinas. A few minutes on two cores. An older localizer of the run is replaced.
    """
    from tvseg.runs.folder import RunFolder

    folder = RunFolder(run)
    settings = folder.settings()
    root = options.training_data(data, settings)
    from tvseg.device import keep_freed_memory
    from tvseg.localizer.train import LocalizerPlan
    from tvseg.localizer.train import train_localizer as run_training

    keep_freed_memory()
    card = run_training(
        folder,
        root=root,
        seed=seed,
        device=device,
        plan=LocalizerPlan(steps=steps, workers=workers),
    )
    click.echo(
        f"Trained {folder.localizer}: centre held out {card.holdout}; regions of interest of "
        f"{card.framing:.2f} disc diameters, as in the training set."
    )
