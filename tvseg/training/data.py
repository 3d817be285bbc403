"""What a training reads: every centre's cases, decoded, checked and split."""

from dataclasses import dataclass
from pathlib import Path

from tvseg.data.cases import find_cases
from tvseg.data.centres import centres_of
from tvseg.data.dataset import LoadedCases, load_cases
from tvseg.data.fingerprint import fingerprint
from tvseg.data.folds import Fold, check_holdout, check_leaks, make_fold
from tvseg.settings import SegmentationSettings
from tvseg.training.selection import Selection, make_selection


@dataclass(frozen=True)
class Everything:
    """All centres' cases in memory, checked: their fold, decoded images and fingerprint."""

    fold: Fold
    loaded: LoadedCases
    fingerprint: str


@dataclass(frozen=True)
class Data:
    """What a training holds in memory: its fold, decoded images, selection and fingerprint."""

    fold: Fold
    train: LoadedCases
    selection: Selection
    validation: LoadedCases
    fingerprint: str


def read_everything(root: Path, settings: SegmentationSettings, holdout: str) -> Everything:
    """Find, decode and check every centre's cases, and split them.

    The held-out centre is decoded too, for the leak check and the fingerprint.

    Raises:
        ValueError: Missing, damaged or leaking data.
    """
    check_holdout(holdout, list(settings.centres))
    cases = {letter: find_cases(root, centre) for letter, centre in centres_of(settings).items()}
    fold = make_fold(cases, holdout)
    loaded, identities = load_cases(
        [*fold.train, *fold.validation, *fold.target], image_size=settings.image_size
    )
    check_leaks(fold, identities)
    return Everything(fold, loaded, fingerprint(identities))


def read_data(root: Path, settings: SegmentationSettings, holdout: str) -> Data:
    """What a training reads; of the held-out centre nothing, unless the epoch is selected on it.

    Raises:
        ValueError: Missing, damaged or leaking data.
    """
    everything = read_everything(root, settings, holdout)
    fold, loaded = everything.fold, everything.loaded
    selection = make_selection(settings.selection, fold)
    return Data(
        fold=fold,
        train=loaded.subset(fold.train),
        selection=selection,
        validation=loaded.subset(selection.cases),
        fingerprint=everything.fingerprint,
    )
