"""The file that stores a localizer in the run that it serves."""

from pathlib import Path

from tvseg.localizer.card import LocalizerCard
from tvseg.localizer.network import LocalizerNetwork
from tvseg.runs.checkpoint import Task

LOCALIZER = Task(
    "localizer",
    LocalizerCard,
    lambda card: LocalizerNetwork(card.encoder),
    "tvseg train-localizer",
)


def load_localizer(path: Path) -> tuple[LocalizerNetwork, LocalizerCard]:
    """Rebuild a localizer's network from its file; see :meth:`Task.load`."""
    return LOCALIZER.load(path)
