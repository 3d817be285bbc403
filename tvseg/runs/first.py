"""The network that a training begins with, and the trained one that its weights come from."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

from torch import nn

from tvseg.data.normalisation import Normalisation
from tvseg.errors import UserError
from tvseg.models import TVDeepLabV3Plus
from tvseg.models.encoder import pixel_statistics
from tvseg.runs.affinity import tv_conv_layers
from tvseg.runs.cards import SegmentationCard
from tvseg.runs.segmentation import load_network, network_of
from tvseg.runs.starter import STARTER
from tvseg.settings import SegmentationSettings, held_out

_log = logging.getLogger("tvseg")

WIDE_BRANCHES = "decoder.aspp.wide."
"""Where the networks of two variants differ."""


@dataclass(frozen=True)
class FirstWeights:
    """A trained network that a training begins with.

    Attributes:
        source: Where it comes from: ``starter`` or a checkpoint file, as the key ``init``.
        network: The network.
        card: What its checkpoint says of itself.
    """

    source: str
    network: nn.Module
    card: SegmentationCard

    @staticmethod
    def of(settings: SegmentationSettings) -> "FirstWeights | None":
        """Read the network that ``init`` names; ``None`` where it names none.

        Raises:
            UserError: There is no such checkpoint.
        """
        if not settings.init:
            return None
        path = _path_of(settings.init)
        if not path.is_file():
            there = "is a folder" if path.is_dir() else "does not exist"
            raise UserError(
                f"init must be starter or a checkpoint file, such as "
                f"RUN/checkpoints/best.safetensors; {path} {there}"
            )
        return FirstWeights(settings.init, *load_network(path))

    def check_unseen(self, settings: SegmentationSettings, holdout: str, fingerprint: str) -> None:
        """Check that it was not trained on a centre that is held out now, nor what it began with.

        Args:
            settings: Of the training.
            holdout: Its hold-out.
            fingerprint: Of its data.

        Raises:
            UserError: It was, on the same data.
        """
        for words, card in self._ancestors():
            seen = _seen(card, settings, holdout)
            if seen and card.fingerprint == fingerprint:
                raise UserError(
                    f"{words} trained with holdout {card.holdout}, on photographs of "
                    f"{', '.join(seen)}: the weights that a training begins with must not have "
                    f"seen the centre that it holds out ({holdout}); begin with a training of the "
                    "same hold-out, or with init=starter"
                )

    def doubts(self, settings: SegmentationSettings, holdout: str) -> list[str]:
        """Say where it may have seen a centre that is held out, after :meth:`check_unseen`.

        Centres in the same folder of other data may be other photographs, and weights that it
        began with may be gone.

        Args:
            settings: Of the training.
            holdout: Its hold-out.
        """
        found = []
        for words, card in self._ancestors():
            if seen := _seen(card, settings, holdout):
                found.append(
                    f"{words} trained on other data with the same folders of centres "
                    f"({', '.join(seen)}): if these are the same photographs, the scores of "
                    f"{holdout} are not those of an unseen centre"
                )
            begun = card.settings.init
            if held_out(holdout) and begun and not _path_of(begun).is_file():
                found.append(f"{words} begun with {begun}, which is not there to be checked")
        return found

    def _ancestors(self) -> Iterator[tuple[str, SegmentationCard]]:
        """Yield words for it and its card, and those of the checkpoints that it began with."""
        words, card, known = f"init={self.source} was", self.card, {"starter"}
        while True:
            yield words, card
            begun = card.settings.init
            if not begun or begun in known or not _path_of(begun).is_file():
                return
            known.add(begun)
            words = f"init={self.source} began with {begun}, which was"
            card = load_network(_path_of(begun))[1]

    def load_into(self, network: nn.Module, settings: SegmentationSettings) -> int:
        """Load the weights into a network whose wide ASPP branches may have other operators.

        A layer of the branches begins anew as a whole where it is of another size.

        Args:
            network: To load into.
            settings: Of it.

        Returns:
            How many tensors keep their first values: those of the wide ASPP branches, if any.

        Raises:
            UserError: The weights are of another network or other structures.
        """
        for key in ("encoder", "structures"):
            ours, others = getattr(settings, key), getattr(self.card.settings, key)
            if ours != others:
                raise UserError(
                    f"init={self.source}: the checkpoint must be of the same {key}, "
                    f"{_listed(ours)}; it is of {_listed(others)}"
                )
        trained, state = self.network.state_dict(), network.state_dict()
        fits = {
            name: value
            for name, value in trained.items()
            if name in state and state[name].shape == value.shape
        }
        other = {*trained, *state} - {*fits}
        strange = [name for name in other if not name.startswith(WIDE_BRANCHES)]
        if strange:
            raise UserError(
                f"init={self.source}: the checkpoint must be of the same network; {len(strange)} "
                f"tensors differ, first {min(strange)}"
            )
        anew = {_layer_of(name) for name in other if name in trained and name in state}
        fits = {name: value for name, value in fits.items() if _layer_of(name) not in anew}
        network.load_state_dict(state | fits)
        return len(state) - len(fits)

    def give_kernels_to(self, network: nn.Module) -> None:
        """Let TVConv layers generate the kernels of the depthwise ones of the same names.

        The network then computes what this one does, if it is dilated as this is. The kernels are
        fitted to the affinity maps that the layers have, so those must be set before.

        Args:
            network: That the weights were loaded into.
        """
        trained = dict(self.network.named_modules())
        begun = 0
        for name, layer in tv_conv_layers(network).items():
            convolution = trained.get(name)
            if isinstance(convolution, nn.Conv2d) and convolution.groups == layer.channels:
                layer.begin_as(convolution.weight)
                begun += 1
        if begun:
            _log.info(
                "%d TVConv layers begin as its depthwise convolutions of the same names", begun
            )


def first_network(settings: SegmentationSettings, first: FirstWeights | None) -> TVDeepLabV3Plus:
    """Return the network that a training begins with, but for affinity maps that settings set."""
    network = network_of(settings, pretrained=not first)
    if first:
        others = first.load_into(network, settings)
        rest = f"; {others} tensors, all of ASPP branches, are not taken from it"
        _log.info("Begins with init=%s%s", first.source, rest if others else "")
    return network


def normalisation_of(settings: SegmentationSettings, first: FirstWeights | None) -> Normalisation:
    """Return the normalisation that the first weights of a training expect."""
    if first:
        return first.card.normalisation
    expected = pixel_statistics(settings.encoder, settings.encoder_weights)
    return Normalisation() if expected is None else Normalisation(*expected)


def _path_of(source: str) -> Path:
    return STARTER if source == "starter" else Path(source).expanduser()


def _seen(card: SegmentationCard, settings: SegmentationSettings, holdout: str) -> list[str]:
    """Return the held-out centres whose folders a checkpoint was trained on."""
    if card.settings.phantoms == 1:
        return []  # on drawn photographs alone
    trained = {
        normpath(centre.folder)
        for letter, centre in card.settings.centres.items()
        if letter not in held_out(card.holdout)
    }
    return [
        letter
        for letter in held_out(holdout)
        if normpath(settings.centres[letter].folder) in trained
    ]


def _listed(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _layer_of(name: str) -> tuple[str, ...]:
    """Return branch and layer of a tensor of a wide ASPP branch; of others, nothing."""
    parts = name.removeprefix(WIDE_BRANCHES).split(".")
    return tuple(parts[:2]) if name.startswith(WIDE_BRANCHES) else ()
