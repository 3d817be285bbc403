"""A face data root of drawn portraits: training set, validation pairs and test pairs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tvseg.errors import UserError
from tvseg.verification.data.pairs import FOLDS
from tvseg.verification.data.portraits import DEFAULT, Nuisance, draw_portrait

_MIN_PEOPLE = 2 * FOLDS  # pairs of two people within each fold


def write_face_root(
    out: Path,
    *,
    people: int = 500,
    pictures: int = 8,
    unseen: int = 60,
    seed: int = 0,
    nuisance: Nuisance = DEFAULT,
) -> None:
    """Write drawn portraits in the layout of :mod:`tvseg.verification.data.pictures`.

    No person is in two of training set, validation pairs and test pairs, nor in two folds.

    Args:
        out: New folder.
        people: Number of people to train on.
        pictures: Pictures of each person.
        unseen: Number of other people in the test pairs, and of others in the validation pairs.
        seed: Of everything drawn.
        nuisance: How much pictures of one person differ.

    Raises:
        UserError: A count is too small, or ``out`` exists.
    """
    if people < 2 or pictures < 2 or unseen < _MIN_PEOPLE:
        raise UserError(
            f"a face data root needs at least 2 people of 2 pictures and {_MIN_PEOPLE} unseen "
            f"people, got {people}, {pictures} and {unseen}"
        )
    if out.exists():
        raise UserError(f"{out} must be a new folder: name another one, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside:
        root = Path(beside) / out.name
        first = 0
        for folder, count in (("train", people), ("eval", 2 * unseen)):
            for person in range(first, first + count):
                _write_person(root / folder, person, pictures, seed, nuisance)
            first += count
        for number, name in enumerate(("pairs_val", "pairs_test")):
            draws = np.random.default_rng((seed, 2**20, number))
            ids = range(people + number * unseen, people + (number + 1) * unseen)
            lines = ["left,right,same,fold", *_pair_lines(ids, pictures, draws)]
            (root / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        root.rename(out)


def _write_person(folder: Path, person: int, pictures: int, seed: int, nuisance: Nuisance) -> None:
    (folder / _person(person)).mkdir(parents=True)
    for picture in range(pictures):
        pixels = draw_portrait(seed=seed, person=person, picture=picture, nuisance=nuisance)
        Image.fromarray(pixels).save(folder / _file(person, picture))


def _pair_lines(ids: range, pictures: int, draws: np.random.Generator) -> Iterator[str]:
    """Return for each fold as many pairs of one person as of two, each pair once."""
    for fold in range(FOLDS):
        members = ids[fold * len(ids) // FOLDS : (fold + 1) * len(ids) // FOLDS]
        every = [(person, a, b) for person in members
                 for a in range(pictures) for b in range(a)]  # fmt: skip
        count = min(len(every), 10 * len(members))
        for index in draws.choice(len(every), count, replace=False):
            person, a, b = every[index]
            yield f"{_file(person, a)},{_file(person, b)},1,{fold}"
        others: set[tuple[int, int, int, int]] = set()
        while len(others) < count:
            left, right = sorted(int(i) for i in draws.choice(members, 2, replace=False))
            a, b = (int(i) for i in draws.integers(pictures, size=2))
            others.add((left, right, a, b))
        for left, right, a, b in sorted(others):
            yield f"{_file(left, a)},{_file(right, b)},0,{fold}"


def _person(number: int) -> str:
    return f"p{number:05d}"


def _file(person: int, picture: int) -> str:
    return f"{_person(person)}/{_person(person)}_{picture + 1:04d}.png"
