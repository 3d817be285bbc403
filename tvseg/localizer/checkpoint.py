"""The file that keeps a localiser in the run that it serves."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

import tvseg
from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.files import write_bytes
from tvseg.localizer.network import LocalizerNetwork

METADATA_KEY = "tvseg-localizer"


@dataclass(frozen=True)
class Calibration:
    """From the score of a sighting to the probability that a disc is there (Platt scaling)."""

    slope: float
    offset: float

    def __call__(self, score: float) -> float:
        """``1 / (1 + exp(-(slope * score + offset)))``."""
        return float(torch.sigmoid(torch.tensor(self.slope * score + self.offset)))


@dataclass(frozen=True)
class LocalizerCard:
    """What a localiser says of itself, beside its weights.

    Attributes:
        run: Name of the run that it serves, ``<name>-holdout-<letter>-seed<k>``.
        holdout: The centre that it has not seen, or ``none``.
        fingerprint: Of the data that run and localiser were trained on.
        framing: Side of a region of interest over the disc's diameter, of the training set.
        image_size: Side in px at which the network sees a photograph.
        encoder: Of the network.
        calibration: Of its scores.
        normalisation: Of its input.
        seed: Of its training.
        version: Version of tvseg that wrote it.
    """

    run: str
    holdout: str
    fingerprint: str
    framing: float
    image_size: int
    encoder: str
    calibration: Calibration
    normalisation: Normalisation
    seed: int
    version: str = tvseg.__version__

    def to_json(self) -> str:
        """The card as one line of JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "LocalizerCard":
        """The card that :meth:`to_json` wrote."""
        tree = json.loads(text)
        calibration = Calibration(**tree.pop("calibration"))
        normalisation = Normalisation(**tree.pop("normalisation"))
        return LocalizerCard(calibration=calibration, normalisation=normalisation, **tree)


def save_localizer(path: Path, network: nn.Module, card: LocalizerCard) -> None:
    """Write weights and card as a ``.safetensors`` file."""
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    write_bytes(path, save(state, metadata={METADATA_KEY: card.to_json()}))


def load_localizer(path: Path) -> tuple[LocalizerNetwork, LocalizerCard]:
    """Rebuild a localiser's network from its file.

    Returns:
        The network in eval mode on the CPU, and its card.

    Raises:
        ValueError: Not a file of :func:`save_localizer`, or a damaged one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card = LocalizerCard.from_json(file.metadata()[METADATA_KEY])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network = LocalizerNetwork(card.encoder)
        network.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} must be a file that 'tvseg train-localizer' wrote "
            f"({type(error).__name__}: {reason}); train it again"
        ) from error
    network.eval()
    return network, card
