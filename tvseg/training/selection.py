"""Rules that select the best epoch: by the source centres, or by the unseen target (a leak)."""

from collections.abc import Sequence
from dataclasses import dataclass

from tvseg.data.cases import Case
from tvseg.data.folds import Fold
from tvseg.errors import UserError


@dataclass(frozen=True)
class Selection:
    """Cases on which the epoch is selected, and words for it that go into every table."""

    cases: tuple[Case, ...]
    words: str


def select_on_sources(source_test_splits: Sequence[Case]) -> Selection:
    """Select by mean Dice on the source centres' test splits.

    The rule receives the sources' cases and nothing else, so it cannot use the target centre.
    """
    return Selection(tuple(source_test_splits), "selected on sources")


def select_on_target(target_test_split: Sequence[Case]) -> Selection:
    """Select by mean Dice on the unseen centre's test split, as the published code does: a leak."""
    return Selection(tuple(target_test_split), "selected on target")


def make_selection(name: str, fold: Fold) -> Selection:
    """Apply a rule, ``sources`` or ``target``, to a fold.

    Raises:
        UserError: ``target`` without a held-out centre.
    """
    if name == "sources":
        return select_on_sources(fold.validation)
    if fold.holdout == "none":
        raise UserError(
            "selection=target needs a held-out centre; with --holdout none use selection=sources"
        )
    return select_on_target([case for case in fold.target if case.split == "test"])
