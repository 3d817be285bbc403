"""Leave one domain out: who trains, who is validated on, who is never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tvseg.data.cases import Case
from tvseg.data.fingerprint import Identities
from tvseg.data.near_duplicates import COPY_BITS, close_pairs
from tvseg.errors import UserError


@dataclass(frozen=True)
class Fold:
    """The cases of one hold-out.

    ``train`` and ``validation`` are the source centres' train and test splits; ``target`` is all
    of the held-out centre, empty when nothing is held out.
    """

    holdout: str
    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    target: tuple[Case, ...]

    @property
    def sources(self) -> list[str]:
        """Letters of the centres that train, in order."""
        return list(dict.fromkeys(case.centre.letter for case in self.train))

    def names(self) -> dict[str, list[str]]:
        """Every case by id, as kept in ``splits.json``."""
        return {
            "train": [case.id for case in self.train],
            "validation": [case.id for case in self.validation],
            "target": [case.id for case in self.target],
        }


def check_holdout(holdout: str, letters: Sequence[str]) -> None:
    """Refuse a hold-out that is no centre.

    Raises:
        ValueError: Neither ``none`` nor one of ``letters``.
    """
    if holdout != "none" and holdout not in letters:
        raise UserError(f"holdout must be a centre ({', '.join(letters)}) or none, got {holdout!r}")


def make_fold(cases: Mapping[str, Sequence[Case]], holdout: str) -> Fold:
    """Split the centres' cases for one hold-out.

    Args:
        cases: Centre letter -> its cases.
        holdout: Letter of the centre to leave out, or ``none``.

    Raises:
        ValueError: ``holdout`` is no centre.
    """
    check_holdout(holdout, list(cases))
    sources = [case for letter in cases if letter != holdout for case in cases[letter]]
    return Fold(
        holdout=holdout,
        train=tuple(case for case in sources if case.split == "train"),
        validation=tuple(case for case in sources if case.split == "test"),
        target=tuple(cases.get(holdout, ())),
    )


def check_leaks(fold: Fold, identities: Identities) -> None:
    """Refuse a fold in which a picture stands on two sides, whatever its name.

    Args:
        fold: The fold.
        identities: Of all its cases.

    Raises:
        ValueError: A picture of the target centre, or a copy in another format or size, is among
            the sources, or a picture of the sources' test splits among the train splits.
    """
    train = {identities[case.id].image: case.id for case in fold.train}
    sources = train | {identities[case.id].image: case.id for case in fold.validation}
    for side, cases, seen in (
        ("held-out centre", fold.target, sources),
        ("sources' test splits", fold.validation, train),
    ):
        digests = {case.id: identities[case.id].image for case in cases}
        _refuse(side, "the same pixels", [(c, seen[d]) for c, d in digests.items() if d in seen])
    _refuse("held-out centre", "copies by their look", _look_alikes(fold, identities))


def _look_alikes(fold: Fold, identities: Identities) -> list[tuple[str, str]]:
    names = [case.id for case in (*fold.target, *fold.train, *fold.validation)]
    looks = np.array([identities[name].look for name in names])  # (cases, bits)
    pairs, _ = close_pairs(looks, bits=COPY_BITS)
    count = len(fold.target)
    across = pairs[(pairs[:, 0] < count) & (pairs[:, 1] >= count)]
    return [(names[target], names[source]) for target, source in across.tolist()]


def _refuse(side: str, what: str, pairs: list[tuple[str, str]]) -> None:
    if pairs:
        raise UserError(
            f"the {side} must share no picture with training: {len(pairs)} are {what}, first "
            f"{pairs[0][0]} = {pairs[0][1]}; remove one of each pair"
        )
