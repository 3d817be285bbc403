"""What a training begins with: network, data, and the numbers it computes with."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from tvseg.data.normalisation import Normalisation
from tvseg.device import choose_precision
from tvseg.errors import UserError
from tvseg.models.encoder import freeze_unused
from tvseg.models.mix_style import add_mix_style
from tvseg.runs.affinity import affinity_maps
from tvseg.runs.first import FirstWeights, first_network, normalisation_of
from tvseg.runs.segmentation import network_of
from tvseg.settings import SegmentationSettings
from tvseg.training.affinity_start import start_affinity
from tvseg.training.averaging import check_average
from tvseg.training.data import Data, check_shares, read_data
from tvseg.training.distributed import processes
from tvseg.training.fit import Numerics


class Prepared(NamedTuple):
    """What a training begins with.

    Attributes:
        network: On its device, with its first weights.
        data: What it reads.
        numerics: Device, precision and normalisation.
        doubts: Why its first weights may have seen the centre that it holds out.
    """

    network: nn.Module
    data: Data
    numerics: Numerics
    doubts: list[str]


def prepare(
    settings: SegmentationSettings,
    holdout: str,
    root: Path | None,
    device: torch.device,
    *,
    begins: bool,
    inner: bool = False,
) -> Prepared:
    """Build the network, with its first weights where training begins, and read the data.

    Args:
        settings: Of the training.
        holdout: Its hold-out.
        root: Data root; ``None`` where all is drawn.
        device: To train on.
        begins: Whether the training begins; where it is continued, the weights are random.
        inner: Whether it is a training of a cross-validation, whose first weights may have seen
            the centre that is held out: it is a source.

    Raises:
        UserError: Settings or data that cannot be trained on, or weights that have seen the centre
            that is held out.
    """
    if begins:
        check_average(settings.train)
    precision = choose_precision(settings.precision, device)
    first = FirstWeights.of(settings) if begins else None  # its random values are drawn before
    torch.manual_seed(settings.seed)
    network = first_network(settings, first) if begins else network_of(settings, pretrained=False)
    if processes() > 1:
        freeze_unused(network.encoder)
    normalisation = normalisation_of(settings, first) if begins else Normalisation()
    if settings.mixstyle:
        add_mix_style(network.encoder, settings.mixstyle)
    if settings.train.log_affinity and not affinity_maps(network):
        raise UserError(f"train.log_affinity needs TVConv layers; aspp={settings.aspp} has none")
    data = read_data(root, settings, holdout, selection=settings.selection)
    check_shares(settings, data)
    doubts: list[str] = []
    if first and not inner:
        first.check_unseen(settings, holdout, data.fingerprint)
        doubts = first.doubts(settings, holdout)
    start, noise = settings.tvconv.affinity_start, settings.tvconv.affinity_noise
    if begins and (start != "ones" or noise):
        start_affinity(network, start, noise=noise, seed=settings.seed, loaded=data.train)
    if first:
        first.give_kernels_to(network)
    network.to(device, memory_format=torch.channels_last)
    return Prepared(network, data, Numerics(device, precision, normalisation), doubts)
