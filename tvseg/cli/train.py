"""``tvseg train``."""

import shlex
import sys
from pathlib import Path

import click

from tvseg.cli import options


@click.command()
@click.option(
    "--holdout",
    metavar="LETTER",
    help="Centre held out as the unseen target, or several joined by +; none trains on all "
    "centres, for deployment.",
)
@click.option(
    "--sources",
    metavar="LETTER,...",
    help="Train on these centres alone; all others are held out. Instead of --holdout.",
)
@click.option("--data", type=options.PATH, help="Data root; else the key data, else $TVSEG_DATA.")
@options.config_files(options.SETTINGS)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    help="Folder that gets the run folder.",
)
@click.option("--seed", type=options.SEED, help="Same as seed=N.")
@options.device
@click.option(
    "--resume", is_flag=True, help="Continue an unfinished run of the same settings, bit for bit."
)
@click.option("--overwrite", is_flag=True, help="Replace an older run of the same name.")
@options.overrides
def train(
    holdout: str | None,
    sources: str | None,
    data: Path | None,
    configs: tuple[Path, ...],
    out: Path,
    seed: int | None,
    device: str | None,
    resume: bool,
    overwrite: bool,
    overrides: tuple[str, ...],
) -> None:
    """Train one network, leaving one centre out (--holdout) or all but some (--sources).

    Settings come from --config and KEY=VALUE, e.g. aspp=dense train.epochs=10; configs/base.yaml
    has every key.
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    if (holdout is None) == (sources is None):
        raise click.UsageError("give either --holdout or --sources")
    from tvseg.config import load_settings
    from tvseg.settings import all_but, check_holdout

    seeds = [] if seed is None else [f"seed={seed}"]
    settings = load_settings(configs, [*overrides, *seeds])
    target = str(holdout)
    if sources is not None:
        target = all_but([letter.strip() for letter in sources.split(",")], settings.centres)
    check_holdout(target, settings.centres)
    root = options.training_data(data, settings)
    from tvseg.device import keep_freed_memory
    from tvseg.training.distributed import is_first
    from tvseg.training.train import train as run_training

    keep_freed_memory()
    run = run_training(
        settings,
        holdout=target,
        root=root,
        runs=out,
        device=device,
        resume=resume,
        overwrite=overwrite,
        command=shlex.join(["tvseg", *sys.argv[1:]]),
    )
    if not is_first():
        return
    info = run.info()
    following = shlex.join(["tvseg", "eval", str(run.path), "--data", str(root or "ROOT")])
    click.echo(
        f"Trained {run.path} in {info['train_seconds'] / 60:.1f} min: best epoch "
        f"{info['best_epoch']}, mean Dice {100 * info['best_dice']:.1f} ({info['chosen']}).\n"
        f"Next: {following}"
    )
