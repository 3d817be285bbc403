"""``tvseg faces``: face verification, the paper's second task."""

import sys
from pathlib import Path

import click

from tvseg.cli import options


@click.group()
def faces() -> None:
    """Verify faces: draw, check, train, score and compare.

    Pictures of faces are biometric data: have the consent of the people shown, and see
    docs/faces.md for what the scores do not say.
    """


@faces.command()
@click.argument("out", type=options.PATH)
@click.option("--people", default=200, help="People to train on.")
@click.option("--pictures", default=20, help="Pictures of each person.")
@click.option("--unseen", default=60, help="People in each set of pairs.")
@click.option(
    "--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of everything drawn."
)
@click.option(
    "--translation",
    default=2.0,
    type=click.FloatRange(0, 30),
    help="Standard deviation of the faces' shift, in px of 96.",
)
def synth(
    out: Path, people: int, pictures: int, unseen: int, seed: int, translation: float
) -> None:
    """Draw portraits of people who do not exist into the new folder OUT."""
    from tvseg.verification.portraits import Nuisance
    from tvseg.verification.synth import write_face_root

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
    from tvseg.verification.check import check_faces

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
        click.echo(f"Warning: {line}")
    for line in found.problems:
        click.echo(f"Problem: {line}")
    click.echo(f"Problems: {len(found.problems)}, warnings: {len(found.warnings)}")
    sys.exit(bool(found.problems))
