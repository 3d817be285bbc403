"""The file that stores a localizer in the run that it serves."""

from tvseg.localizer.card import LocalizerCard
from tvseg.localizer.network import LocalizerNetwork
from tvseg.runs.checkpoint import Task

LOCALIZER = Task(
    LocalizerCard, lambda card: LocalizerNetwork(card.encoder), "tvseg train-localizer"
)
load_localizer = LOCALIZER.load
