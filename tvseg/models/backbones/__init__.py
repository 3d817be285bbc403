"""The paper's backbones for faces of 96 x 96 px: images -> embeddings, any operator inside."""

from tvseg.models.backbones.mixer import mlp_mixer
from tvseg.models.backbones.mobilenet_v2 import mobilenet_v2
from tvseg.models.backbones.shufflenet_v2 import shufflenet_v2

__all__ = ["mlp_mixer", "mobilenet_v2", "shufflenet_v2"]
