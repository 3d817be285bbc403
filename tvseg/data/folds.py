"""Leave one domain out: who trains, who is validated on, who is never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvseg.data.cases import Case


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
        raise ValueError(
            f"holdout must be a centre ({', '.join(letters)}) or none, got {holdout!r}"
        )


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


def check_leaks(fold: Fold, digests: Mapping[str, str]) -> None:
    """Refuse a fold in which a picture stands on two sides, whatever its name.

    Args:
        fold: The fold.
        digests: Case id -> digest of its pixels.

    Raises:
        ValueError: A picture of the target centre is among the sources, or one of the sources'
            test splits among the train splits.
    """
    sides = {"held-out centre": fold.target, "sources' test splits": fold.validation}
    in_training = {digests[case.id]: case.id for case in fold.train}
    in_sources = in_training | {digests[case.id]: case.id for case in fold.validation}
    for side, seen in (("held-out centre", in_sources), ("sources' test splits", in_training)):
        leaks = [
            (case.id, seen[digests[case.id]]) for case in sides[side] if digests[case.id] in seen
        ]
        if leaks:
            raise ValueError(
                f"the {side} must share no picture with training: {len(leaks)} are the same "
                f"pixels, first {leaks[0][0]} = {leaks[0][1]}; remove one of each pair"
            )
