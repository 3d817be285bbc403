"""MLP-Mixer for faces: timm's, with the tanh form of GELU as in the original code.

Source: Tolstikhin et al., MLP-Mixer (arXiv:2105.01601); the paper compares with it in section 4.1.
"""

from functools import partial

from timm.models.mlp_mixer import MlpMixer
from torch import nn


def mlp_mixer(
    dim: int = 64,
    blocks: int = 4,
    *,
    patch_size: int = 16,
    image_size: int | tuple[int, int] = 96,
    embedding: int = 512,
) -> nn.Module:
    """Build an MLP-Mixer for images of one size.

    Args:
        dim: Width of a patch's token.
        blocks: Mixer blocks.
        patch_size: Side in px of the patches.
        image_size: Side or (height, width) of the images in px, multiples of the patch size.
        embedding: Width of the embeddings.

    Returns:
        The network in train mode: (B, 3, H, W) -> (B, embedding).
    """
    mixer = MlpMixer(
        num_classes=embedding,
        img_size=image_size,
        patch_size=patch_size,
        num_blocks=blocks,
        embed_dim=dim,
        act_layer=partial(nn.GELU, approximate="tanh"),
    )
    nn.init.normal_(mixer.head.weight, 0.0, 0.01)  # timm's zeros would embed all images as zero
    network: nn.Module = mixer
    return network
