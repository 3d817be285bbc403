"""Registers the network and its encoder with segmentation_models_pytorch when it is imported.

Afterwards ``smp.create_model("tvdeeplabv3plus", ...)`` and ``smp.from_pretrained(...)`` know it.
"""

import segmentation_models_pytorch as smp

from tvseg.models import TVDeepLabV3Plus
from tvseg.models.encoder import register_encoder

smp.MODEL_ARCHITECTURES_MAPPING[TVDeepLabV3Plus.__name__.lower()] = TVDeepLabV3Plus
setattr(smp, TVDeepLabV3Plus.__name__, TVDeepLabV3Plus)  # from_pretrained looks for it there
register_encoder()
