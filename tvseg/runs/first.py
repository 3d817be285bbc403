"""The network that a training begins with, and the trained one that its weights come from."""

import logging
from dataclasses import dataclass
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
        source = str(settings.init)
        path = STARTER if source == "starter" else Path(source).expanduser()
        if not path.is_file():
            raise UserError(f"init must be starter or a checkpoint file; {path} does not exist")
        return FirstWeights(source, *load_network(path))

    def check_unseen(self, settings: SegmentationSettings, holdout: str, fingerprint: str) -> None:
        """Check that the network was not trained on a centre that is held out now.

        Centres of the same letter and folder in other data may be other photographs: of these the
        log warns.

        Args:
            settings: Of the training.
            holdout: Its hold-out.
            fingerprint: Of its data.

        Raises:
            UserError: It was trained on such a centre of the same data.
        """
        if self.card.settings.phantoms == 1:
            return  # on drawn photographs alone
        own = self.card.settings.centres
        seen = [
            letter
            for letter in held_out(holdout)
            if letter in own.keys() - {*held_out(self.card.holdout)}
            and own[letter].folder == settings.centres[letter].folder
        ]
        if not seen:
            return
        trained = f"init={self.source} was trained with holdout {self.card.holdout}"
        if self.card.fingerprint == fingerprint:
            raise UserError(
                f"{trained}, on photographs of {', '.join(seen)}: the weights that a training "
                f"begins with must not have seen the centre that it holds out ({holdout}); begin "
                "with a training of the same hold-out, or with init=starter"
            )
        _log.warning(
            "Warning: %s, on other data with centres of the same name (%s): if these are the "
            "same photographs, the scores of %s are not those of an unseen centre",
            trained, ", ".join(seen), holdout,
        )  # fmt: skip

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


def _listed(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _layer_of(name: str) -> tuple[str, ...]:
    """Return branch and layer of a tensor of a wide ASPP branch; of others, nothing."""
    parts = name.removeprefix(WIDE_BRANCHES).split(".")
    return tuple(parts[:2]) if name.startswith(WIDE_BRANCHES) else ()
