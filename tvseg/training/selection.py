"""On which cases the best epoch is chosen: two named rules, of which one is honest."""

from collections.abc import Sequence
from dataclasses import dataclass

from tvseg.data.cases import Case
from tvseg.data.folds import Fold
from tvseg.errors import UserError


@dataclass(frozen=True)
class Selection:
    """Cases to choose the epoch on, and words for it that go into every table."""

    cases: tuple[Case, ...]
    words: str


def select_on_sources(source_test_splits: Sequence[Case]) -> Selection:
    """The honest rule: mean Dice on the source centres' test splits.

    It is given the sources' cases and nothing else, so it cannot touch the target centre.
    """
    return Selection(tuple(source_test_splits), "selected on sources")


def select_on_target(target_test_split: Sequence[Case]) -> Selection:
    """The published code's rule: mean Dice on the unseen centre's own test split, a leak."""
    return Selection(tuple(target_test_split), "selected on target")


def make_selection(protocol: str, fold: Fold) -> Selection:
    """The rule of a protocol, applied to a fold.

    Raises:
        ValueError: The paper's rule without a held-out centre.
    """
    if protocol == "honest":
        return select_on_sources(fold.validation)
    if fold.holdout == "none":
        raise UserError(
            "protocol=paper selects on the held-out centre; with --holdout none use protocol=honest"
        )
    return select_on_target([case for case in fold.target if case.split == "test"])
