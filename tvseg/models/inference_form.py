"""The form in which predictors run a network: the same function in fewer steps."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tvseg.models import TVDeepLabV3Plus, freeze


def prepare_for_inference(network: nn.Module) -> None:
    """Rewrite a network in place, for good, so that it computes the same in fewer steps.

    Weights are frozen (:func:`tvseg.models.freeze`), batch norms become part of the convolutions
    before them, and decoders mix channels before they enlarge maps. Results differ in the last
    bits. State dicts of the network as it was no longer load.

    Args:
        network: Any network, in eval mode.

    Raises:
        ValueError: The network is in train mode.
    """
    if network.training:
        raise ValueError("a network is prepared for inference in eval mode, call eval() first")
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            _fold_batch_norms(module)
        elif isinstance(module, TVDeepLabV3Plus):
            module.decoder.mixes_first = True
    freeze(network)  # last: whatever moves or casts a network drops the kept weights


def _fold_batch_norms(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        first, second = layers[index], layers[index + 1]
        if type(first) is nn.Conv2d and type(second) is nn.BatchNorm2d:
            layers[index] = fuse_conv_bn_eval(first, second)
            layers[index + 1] = nn.Identity()
