"""Leave one domain out: who trains, who is validated on, who is never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvseg.data.cases import Case
from tvseg.data.fingerprint import Identities
from tvseg.data.near_duplicates import COPY_BITS, close_pairs
from tvseg.errors import UserError
from tvseg.settings import check_holdout, held_out


@dataclass(frozen=True)
class Fold:
    """The cases of one hold-out.

    ``train`` and ``validation`` are the source centres' train and test splits; ``target`` is all
    of the held-out centre or centres, empty when nothing is held out.
    """

    holdout: str
    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    target: tuple[Case, ...]

    @property
    def sides(self) -> tuple[tuple[Case, ...], tuple[Case, ...], tuple[Case, ...]]:
        """Train, validation and target cases."""
        return self.train, self.validation, self.target

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


def make_fold(cases: Mapping[str, Sequence[Case]], holdout: str) -> Fold:
    """Split the centres' cases for one hold-out.

    Args:
        cases: Centre letter -> its cases.
        holdout: Letter of the centre to leave out, several joined by ``+``, or ``none``.

    Raises:
        UsageError: ``holdout`` is neither ``none`` nor a centre.
    """
    check_holdout(holdout, cases)
    targets = held_out(holdout)
    sources = [case for letter in cases if letter not in targets for case in cases[letter]]
    return Fold(
        holdout=holdout,
        train=tuple(case for case in sources if case.split == "train"),
        validation=tuple(case for case in sources if case.split == "test"),
        target=tuple(case for letter in targets for case in cases[letter]),
    )


def check_leaks(fold: Fold, identities: Identities) -> None:
    """Raise UserError if a picture is on two sides of a fold, whatever its name.

    Args:
        fold: The fold.
        identities: Of all its cases.

    Raises:
        UserError: A picture of the target centre, or a copy in another format or size, is among
            the sources, or one of the sources' test splits among the train splits.
    """
    train, validation, target = ([case.id for case in cases] for cases in fold.sides)
    for side, names, others in (
        ("held-out centre", target, [*train, *validation]),
        ("sources' test splits", validation, train),
    ):
        seen = {identities[name].image: name for name in others}
        same = [
            (one, seen[identities[one].image]) for one in names if identities[one].image in seen
        ]
        _refuse(side, "the same pixels", same)
        _refuse(side, "copies by their perceptual hash", _copies(names, others, identities))


def _copies(
    names: Sequence[str], others: Sequence[str], identities: Identities
) -> list[tuple[str, str]]:
    together = [*names, *others]
    pairs, _ = close_pairs([identities[name].perceptual for name in together], bits=COPY_BITS)
    across = pairs[(pairs[:, 0] < len(names)) & (pairs[:, 1] >= len(names))]
    return [(together[one], together[other]) for one, other in across.tolist()]


def _refuse(side: str, what: str, pairs: list[tuple[str, str]]) -> None:
    if pairs:
        raise UserError(
            f"the {side} must share no picture with training: {len(pairs)} are {what}, first "
            f"{pairs[0][0]} = {pairs[0][1]}; remove one of each pair"
        )
