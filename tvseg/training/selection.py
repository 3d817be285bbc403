"""Rules that select the epoch to keep: without the unseen target, or by it (a leak).

Source: Gulrajani and Lopez-Paz, In Search of Lost Domain Generalization, ICLR 2021, section 3.2:
training-domain validation (``sources``), leave-one-domain-out cross-validation (``lodo``) and
test-domain validation, an oracle (``target``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tvseg.data.cases import Case
from tvseg.data.folds import Fold
from tvseg.errors import UserError

CHOSEN = {
    "sources": "selected on sources",
    "lodo": "selected by leaving out each source in turn",
    "last": "last epoch",
    "target": "selected on target",
}
"""What tables say of each value of the key ``selection``."""


@dataclass(frozen=True)
class Selection:
    """Cases that every epoch is validated on, and words for the rule that go into every table.

    ``lodo`` and ``last`` know the epoch beforehand; their cases are for the record alone.
    """

    cases: tuple[Case, ...]
    words: str


def select_on_sources(source_test_splits: Sequence[Case]) -> Selection:
    """Select by mean Dice on the source centres' test splits.

    The rule receives the sources' cases and nothing else, so it cannot use the target centre.
    """
    return Selection(tuple(source_test_splits), CHOSEN["sources"])


def select_on_target(target_test_split: Sequence[Case]) -> Selection:
    """Select by mean Dice on the unseen centre's test split, as the published code does: a leak."""
    return Selection(tuple(target_test_split), CHOSEN["target"])


def make_selection(name: str, fold: Fold) -> Selection:
    """Apply a rule, a value of the key ``selection``, to a fold.

    Raises:
        UserError: ``target`` without a held-out centre.
    """
    if name != "target":
        return Selection(select_on_sources(fold.validation).cases, CHOSEN[name])
    if fold.holdout == "none":
        raise UserError(
            "selection=target needs a held-out centre; with --holdout none use selection=sources"
        )
    return select_on_target([case for case in fold.target if case.split == "test"])
