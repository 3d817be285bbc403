"""Losses of segmentation networks by the values of the key ``train.loss``."""

import torch
from monai.losses import DiceLoss
from torch.nn.functional import binary_cross_entropy_with_logits

from tvseg.training.fit import Loss

_dice = DiceLoss(sigmoid=True)  # of each image and structure, averaged


def dice_and_bce(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum of Dice loss and binary cross entropy, both over all structures.

    Args:
        logits: float32 (B, structures, H, W).
        labels: 0 or 1, of the same shape; structures may overlap.
    """
    dice: torch.Tensor = _dice(logits, labels)
    return dice + binary_cross_entropy_with_logits(logits, labels)


LOSSES: dict[str, Loss] = {"bce": binary_cross_entropy_with_logits, "dice_bce": dice_and_bce}
"""Functions of logits and labels, float32 (B, structures, H, W)."""
