"""``tvseg faces``: face verification, the paper's second task."""

import shlex
import sys
from pathlib import Path

import click

from tvseg.cli import options
from tvseg.errors import escaped


@click.group()
def faces() -> None:
    """Verify faces: draw, check, train, score and compare.

    Pictures of faces are biometric data: have the consent of the people shown, and see
    docs/how-to/faces.md for what the scores do not say.
    """


@faces.command()
@click.argument("out", type=options.PATH)
@click.option("--people", default=500, help="People to train on.")
@click.option("--pictures", default=8, help="Pictures of each person.")
@click.option("--unseen", default=60, help="People in each set of pairs.")
@click.option(
    "--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of everything drawn."
)
@click.option(
    "--translation",
    default=1.5,
    type=options.FiniteRange(0, 30),
    help="Standard deviation of the faces' shift, in px of 96.",
)
def synth(
    out: Path, people: int, pictures: int, unseen: int, seed: int, translation: float
) -> None:
    """Draw portraits of people who do not exist into the new folder OUT."""
    from tvseg.verification.data.portraits import Nuisance
    from tvseg.verification.data.synth import write_face_root

    write_face_root(
        out, people=people, pictures=pictures, unseen=unseen, seed=seed,
        nuisance=Nuisance(translation_px=translation),
    )  # fmt: skip
    click.echo(
        f"Drew {people} people with {pictures} pictures each to train on, and {unseen} other "
        f"people for each set of pairs, into {out}"
    )


@faces.command()
@click.argument("root", type=options.FOLDER)
def check(root: Path) -> None:
    """Count pictures and people below ROOT, and list what makes a score worthless.

    Exit code 1 when there are problems: broken files, people or pictures that are both in the
    training set and in a set of pairs, folds that share people.
    """
    from tvseg.verification.data.check import check_faces

    found = check_faces(root)
    counts = found.counts
    if counts["pictures"]:
        sizes = ", ".join(f"{w} x {h} ({n})" for (w, h), n in found.sizes.most_common(3))
        click.echo(
            f"train: {counts['pictures']} pictures of {counts['people']} people, "
            f"{counts['fewest']} to {counts['most']} each; px: {sizes}"
        )
    for name, (same, different, folds) in found.sets.items():
        click.echo(f"{name}: {same} pairs of one person, {different} of two, {folds} folds")
    for line in found.warnings:
        click.echo(escaped(f"Warning: {line}"))
    for line in found.problems:
        click.echo(escaped(f"Problem: {line}"))
    click.echo(f"Problems: {len(found.problems)}, warnings: {len(found.warnings)}")
    sys.exit(bool(found.problems))


@faces.command()
@click.option("--data", type=options.PATH, required=True,
              help="Data root: train/, pairs_val.txt; see docs/how-to/faces.md.")  # fmt: skip
@options.config_files("YAML file of settings, or the name of one, such as faces/smoke.")
@click.option("--out", type=options.PATH,
              default=Path("runs"), show_default=True,
              help="Folder that gets the run folder.")  # fmt: skip
@options.device
@click.option("--resume", is_flag=True, help="Continue an unfinished run of the same settings.")
@click.option("--overwrite", is_flag=True, help="Replace an older run of the same name.")
@options.overrides
def train(
    data: Path, configs: tuple[Path, ...], out: Path, device: str | None, resume: bool,
    overwrite: bool, overrides: tuple[str, ...],
) -> None:  # fmt: skip
    """Train one network to embed faces.

    Settings come from --config and KEY=VALUE, e.g. operator=tvconv width=0.2 seed=1;
    configs/faces/mobilenet_v2_x0_1.yaml has every key.
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    from tvseg.extras import require

    require("pytorch_metric_learning", "ignite", "tensorboard")
    from tvseg.config import load_settings
    from tvseg.device import keep_freed_memory
    from tvseg.training.distributed import is_first
    from tvseg.verification.settings import FaceSettings
    from tvseg.verification.training.train import train_faces

    settings = load_settings(configs, overrides, FaceSettings)
    keep_freed_memory()
    run = train_faces(
        settings, root=data, runs=out, device=device, resume=resume, overwrite=overwrite,
        command=shlex.join(["tvseg", *sys.argv[1:]]),
    )  # fmt: skip
    if not is_first():
        return
    info = run.info()
    click.echo(
        f"Trained {run.path} in {info['train_seconds'] / 60:.1f} min: best epoch "
        f"{info['best_epoch']}, accuracy {100 * info['best_accuracy']:.1f} % ({info['chosen']}).\n"
        f"Next: {shlex.join(['tvseg', 'faces', 'eval', str(run.path), '--data', str(data)])}"
    )


@faces.command(name="eval")
@click.argument("runs", nargs=-1, required=True,
                type=options.FOLDER)  # fmt: skip
@click.option("--data", type=options.FOLDER,
              required=True, help="Data root with the sets of pairs.")  # fmt: skip
@click.option("--sets", "names", default="", metavar="NAME,...",
              help="Sets of pairs to score; by default all but the validation's.")  # fmt: skip
@click.option("--protocol", type=click.Choice(["honest", "insightface", "paper"]),
              default="honest", show_default=True,
              help="How pairs are scored; paper is as published, and leaks.")  # fmt: skip
@options.checkpoint
@options.device
def evaluate(
    runs: tuple[Path, ...], data: Path, names: str, protocol: str, checkpoint: str,
    device: str | None,
) -> None:  # fmt: skip
    """Score RUNS on sets of pairs: accuracy over ten folds, TAR at FAR, AUC, EER.

    RUNS are run folders of 'tvseg faces train' or folders of them.
    """
    from tvseg.cli.tables import print_table
    from tvseg.errors import UsageError
    from tvseg.verification.data.pictures import VALIDATION, pair_files, read_pair_set
    from tvseg.verification.evaluation.evaluate import evaluate_faces
    from tvseg.verification.evaluation.scored_runs import find_face_runs
    from tvseg.verification.evaluation.tables import score_tables
    from tvseg.verification.network import side_of

    files = pair_files(data)
    chosen = [name for name in names.split(",") if name] or [n for n in files if n != VALIDATION]
    if not chosen or not set(chosen) <= set(files):
        raise UsageError(
            f"--sets must be among {', '.join(files) or 'the sets of pairs (there is none)'} of "
            f"{data}, got {', '.join(chosen) or 'none'}"
        )
    found = find_face_runs(runs)
    side = side_of(found)
    sets = [read_pair_set(files[name], side_px=side, name=name) for name in chosen]
    rows = evaluate_faces(found, sets, protocol=protocol, checkpoint=checkpoint, device=device)
    for table in score_tables(rows, protocol=protocol):
        print_table(table)


_SCORED = click.argument("runs", nargs=-1, type=options.FOLDER, required=True)
_PROTOCOL = click.option(
    "--protocol",
    type=click.Choice(["honest", "insightface", "paper"]),
    default="honest",
    show_default=True,
    help="Under which the runs were scored.",
)


@faces.command()
@_SCORED
@click.option("--out", required=True, type=options.PATH, help="Folder of the report.")
@_PROTOCOL
def report(runs: tuple[Path, ...], out: Path, protocol: str) -> None:
    """Write tables, ROC curves and training curves of scored RUNS as one page and single files.

    RUNS are run folders or folders of them that 'tvseg faces eval' has scored. The folder --out
    gets report.html, which contains all its pictures, and the folders figures (PNG, PDF) and tables
    (CSV, Markdown).
    """
    from tvseg.evaluation.report.write import check_free, write_report
    from tvseg.verification.evaluation.report import face_chapter
    from tvseg.verification.evaluation.scored_runs import find_face_runs, read_scored

    check_free(out)
    scored = read_scored(find_face_runs(runs), protocol=protocol)
    named = [str(run.folder.path) for run in scored]
    click.echo(write_report([face_chapter(scored)], out, title="tvseg faces report", runs=named))


@faces.command()
@_SCORED
@click.option("--over", required=True, metavar="KEY,...",
              help="Keys of the settings, a panel for each, e.g. jitter.rotation.")  # fmt: skip
@click.option("--by", default="operator", show_default=True, metavar="KEY",
              help="Key of the settings, a line for each of its values.")  # fmt: skip
@click.option("--set", "name", default="pairs_test", show_default=True, help="Set of pairs.")
@click.option("--out", required=True, type=options.FILE, help="PNG file to draw.")
@_PROTOCOL
def plot(runs: tuple[Path, ...], over: str, by: str, name: str, out: Path, protocol: str) -> None:
    """Draw and print the accuracy of scored RUNS by the values of their settings.

    RUNS are run folders or folders of them, such as the folder runs of a sweep. In the panel of a
    key are the runs whose other keys of --over have the value that most runs have.
    """
    from tvseg.cli.tables import print_table
    from tvseg.evaluation.plot_style import to_png
    from tvseg.files import write_bytes
    from tvseg.verification.evaluation.figures import settings_figure
    from tvseg.verification.evaluation.scored_runs import find_face_runs, read_scored
    from tvseg.verification.evaluation.settings_effect import effect_table, effects

    scored = read_scored(find_face_runs(runs), protocol=protocol)
    keys = [key.strip() for key in over.split(",") if key.strip()]
    found = effects(scored, keys=keys, by=by, name=name)
    panels = {str(key): rows for key, rows in found.groupby("key", sort=False)}
    figure = settings_figure(panels, by=by, score=f"accuracy on {name} [%]")
    print_table(effect_table(found, by=by, name=name))
    write_bytes(out, to_png(figure))
    click.echo(f"Drew {out}")


@faces.command()
@click.argument("left", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("right", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", required=True, type=click.Path(exists=True, path_type=Path),
              help="Run folder of tvseg faces train, or a checkpoint in it.")  # fmt: skip
@click.option("--threshold", type=options.FiniteRange(0, 4),
              help="Squared distance of unit embeddings up to which two pictures count as one "
                   "person; by default the one chosen on the run's validation pairs.")  # fmt: skip
@options.device
def compare(
    left: Path, right: Path, model: Path, threshold: float | None, device: str | None
) -> None:
    """Say whether LEFT and RIGHT, pictures of aligned faces, show the same person.

    The answer is a guess with the false accept rate that is printed beside it; never use it alone
    to decide about people.
    """
    from tvseg.verification.compare import compare_pictures

    found = compare_pictures(left, right, model, threshold=threshold, device=device)
    click.echo(str(found))
    if found.warning:
        click.echo(found.warning, err=True)
