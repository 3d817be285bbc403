"""Problems of a face data root: what training would refuse, and what makes a score worthless."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvseg.errors import UserError
from tvseg.verification.data.pairs import Pair, people_of
from tvseg.verification.data.pictures import decode, listed_pairs, pair_files, training_pictures


@dataclass
class FaceCheck:
    """What a check of a data root has counted and found.

    Attributes:
        counts: Of the training set: pictures, people, fewest and most pictures of a person.
        sizes: (width, height) in px -> pictures of that size.
        sets: Name of each set of pairs -> (pairs of one person, pairs of two, folds).
        problems: One line each; a root with any is not fit to train or score on.
        warnings: One line each.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    sets: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check_faces(root: Path) -> FaceCheck:
    """Check a data root.

    Problems are broken files and archives, people or pictures that are both in the training set
    and in a set of pairs (a leak), and folds that share people (their scores depend on one
    another). Copies within the training set are warnings.

    Args:
        root: See :mod:`tvseg.verification.data.pictures`.

    Raises:
        UserError: There is neither a training set nor a set of pairs.
    """
    found = FaceCheck()
    files = pair_files(root)
    if not files and not (root / "train").is_dir() and not (root / "train.rec").is_file():
        raise UserError(f"{root} must hold train/, train.rec, or a set of pairs, holds none")
    hashes = _check_training(root, found)
    people = {name.partition("/")[0] for names in hashes.values() for name in names if "/" in name}
    for name, path in files.items():
        _check_pairs(name, path, found, hashes, people)
    return found


def _check_training(root: Path, found: FaceCheck) -> dict[str, list[str]]:
    """Count and decode the training pictures; return their names by a digest of the pixels."""
    hashes: defaultdict[str, list[str]] = defaultdict(list)
    per_person: Counter[str] = Counter()
    try:
        for name, person, read in training_pictures(root):
            per_person[person] += 1
            try:
                pixels = decode(read())
            except UserError as error:
                found.problems.append(f"train: {name}: {error}")
                continue
            found.sizes[pixels.shape[1], pixels.shape[0]] += 1
            hashes[hashlib.sha256(pixels.tobytes()).hexdigest()].append(name)
    except UserError as error:
        found.problems.append(str(error))
    found.counts = {
        "pictures": per_person.total(),
        "people": len(per_person),
        "fewest": min(per_person.values(), default=0),
        "most": max(per_person.values(), default=0),
    }
    if per_person and min(per_person.values()) < 2:
        lonely = sum(count < 2 for count in per_person.values())
        found.warnings.append(f"train: people with a single picture: {lonely}")
    copies = [names for names in hashes.values() if len(names) > 1]
    if copies:
        found.warnings.append(f"train: pictures that are there twice: {_few(copies)}")
    return dict(hashes)


def _check_pairs(
    name: str, path: Path, found: FaceCheck, hashes: dict[str, list[str]], people: set[str]
) -> None:
    try:
        pairs, readers = listed_pairs(path)
    except UserError as error:
        found.problems.append(f"{name}: {error}")
        return
    same = sum(pair.same for pair in pairs)
    found.sets[name] = (same, len(pairs) - same, len({pair.fold for pair in pairs}))
    if not 0 < same < len(pairs):
        found.problems.append(f"{name}: must hold pairs of one person and of two, holds one kind")
    twice = []
    for picture, read in readers:
        try:
            digest = hashlib.sha256(decode(read()).tobytes()).hexdigest()
        except UserError as error:
            found.problems.append(f"{name}: {picture}: {error}")
            continue
        twice += [(hashes[digest][0], picture)] if digest in hashes else []
    if twice:
        leaks = _few(twice)
        found.problems.append(f"{name}: pictures that are in the training set, too: {leaks}")
    if path.suffix != ".bin":
        found.problems += [f"{name}: {problem}" for problem in _shared_people(pairs, people)]


def _shared_people(pairs: Sequence[Pair], people: set[str]) -> Iterator[str]:
    """Return the people that folds share with the training set, and with one another."""
    if not all("/" in pair.left and "/" in pair.right for pair in pairs):
        return  # names without folders do not tell people
    folds = list(people_of(pairs, person=lambda file: Path(file).parent.name))
    if both := sorted(set().union(*folds) & people):
        yield f"people who are in the training set, too: {_few(both)}"
    counts = Counter(person for fold in folds for person in fold)
    if shared := sorted(person for person, count in counts.items() if count > 1):
        yield f"people in more than one fold: {_few(shared)}"


def _few(items: Sequence[str | Sequence[str]]) -> str:
    shown = ", ".join(item if isinstance(item, str) else " = ".join(item) for item in items[:3])
    return f"{len(items)}, first {shown}"
