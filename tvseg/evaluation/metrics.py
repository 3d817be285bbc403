"""The public name of :mod:`tvseg.metrics`."""

from tvseg.metrics import asd, assd, dice, hd, hd95, surface_dice, vcdr

__all__ = ["asd", "assd", "dice", "hd", "hd95", "surface_dice", "vcdr"]
