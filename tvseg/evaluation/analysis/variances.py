"""How much features vary within a picture, and between pictures at one place: pure arithmetic."""

from dataclasses import dataclass

import numpy as np

from tvseg.errors import UserError

ROUNDING = 1e-6  # relative: what float32 makes of a constant


@dataclass(frozen=True)
class Variances:
    """Variances of feature maps, as shares of each channel's total variance.

    Attributes:
        intra: Intra-image variance, 0 to 1: over the positions of one picture.
        cross: Cross-image variance: over pictures at one position. 0 when all pictures are equal;
            1 is expected when a position tells nothing about what is there.
        cross_map: (height, width), ``cross`` at each position; its mean is ``cross``.
    """

    intra: float
    cross: float
    cross_map: np.ndarray

    @property
    def ratio(self) -> float:
        """Intra-image variance over cross-image variance; infinite when all pictures are equal."""
        return self.intra / self.cross if self.cross > 0 else float("inf")


def layout_variances(features: np.ndarray) -> Variances:
    """Intra-image and cross-image variance of the feature maps of several pictures.

    For each channel c of F (N, C, H, W):

    - intra_c = mean over pictures n of the variance of F[n, c] over its positions;
    - cross_c = mean over positions (i, j) of the variance of F[:, c, i, j] over pictures, the
      unbiased one (divided by N - 1);
    - total_c = intra_c + the unbiased variance over pictures of the mean of F[n, c].

    Both are divided by total_c, so that every channel counts alike whatever its scale, and averaged
    over channels. total_c is what cross_c is on average when the positions of every picture are
    shuffled on their own, whatever N is: 1 - cross is the share of variance that position explains.
    Channels that are constant are left out.

    Args:
        features: (N, C, H, W) of at least two pictures.

    Raises:
        ValueError: Fewer than two pictures, values that are not finite, or no channel varies.

    Source:
        Chen et al., CVPR 2022, Figure 1 (e), which gives neither normalisation nor formula; these
        are ours.
    """
    if features.ndim != 4 or len(features) < 2:
        raise UserError(f"features must be (N, C, H, W) with N >= 2, got {features.shape}")
    if not np.isfinite(features).all():
        raise UserError("features must be finite, these hold NaN or Inf")
    intra = features.var(axis=(2, 3), dtype=np.float64).mean(axis=0)  # (C,)
    cross = features.var(axis=0, ddof=1, dtype=np.float64)  # (C, H, W)
    means = features.mean(axis=(2, 3), dtype=np.float64)  # (N, C)
    total = intra + means.var(axis=0, ddof=1)  # (C,)
    varies = total > ROUNDING**2 * (means**2).mean(axis=0)
    if not varies.any():
        raise UserError("features must vary, all channels of these are constant")
    shares = cross[varies] / total[varies, None, None]
    cross_map = shares.mean(axis=0)  # (H, W)
    return Variances(
        intra=float((intra[varies] / total[varies]).mean()),
        cross=float(cross_map.mean()),
        cross_map=cross_map,
    )
