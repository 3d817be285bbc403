"""Variances of features within a picture, and between pictures at one position: arithmetic."""

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
            1 is expected when position explains nothing.
        cross_map: (height, width), ``cross`` at each position; its mean is ``cross``.
    """

    intra: float
    cross: float
    cross_map: np.ndarray

    @property
    def ratio(self) -> float:
        """Intra-image variance over cross-image variance; infinite when all pictures are equal."""
        return self.intra / self.cross if self.cross > 0 else float("inf")


@dataclass(frozen=True)
class FeatureSums:
    """What variances are computed from: sums over pictures, of one size whatever their number.

    For features F (N, C, H, W), with sums of squared deviations from a mean written as "spread":

    Attributes:
        count: Number of pictures N.
        mean: (C, H, W), mean of F over pictures.
        spread: (C, H, W), spread of F over pictures.
        within: (C,), sum over pictures of the variance of F[n, c] over its positions.
        mean_spread: (C,), spread over pictures of the mean of F[n, c] over its positions.
        mean_squares: (C,), sum over pictures of the square of that mean.
    """

    count: int
    mean: np.ndarray
    spread: np.ndarray
    within: np.ndarray
    mean_spread: np.ndarray
    mean_squares: np.ndarray

    @staticmethod
    def of(features: np.ndarray) -> "FeatureSums":
        """Return the sums of some pictures.

        Args:
            features: (N, C, H, W) of at least one picture.

        Raises:
            UserError: Another shape, or values that are not finite.
        """
        if features.ndim != 4 or not len(features):
            raise UserError(f"features must be (N, C, H, W) with N >= 1, got {features.shape}")
        if not np.isfinite(features).all():
            raise UserError("features must be finite, these hold NaN or Inf")
        count = len(features)
        means = features.mean(axis=(2, 3), dtype=np.float64)  # (N, C)
        return FeatureSums(
            count=count,
            mean=features.mean(axis=0, dtype=np.float64),
            spread=count * features.var(axis=0, dtype=np.float64),
            within=features.var(axis=(2, 3), dtype=np.float64).sum(axis=0),
            mean_spread=count * means.var(axis=0),
            mean_squares=(means**2).sum(axis=0),
        )

    def __add__(self, other: "FeatureSums") -> "FeatureSums":
        """Return the sums of both sets of pictures.

        Source: T. F. Chan et al., "Updating formulae and a pairwise algorithm for computing sample
        variances", COMPSTAT 1982.
        """
        count = self.count + other.count
        delta = other.mean - self.mean  # (C, H, W)
        weight = self.count * other.count / count
        return FeatureSums(
            count=count,
            mean=self.mean + delta * (other.count / count),
            spread=self.spread + other.spread + weight * delta**2,
            within=self.within + other.within,
            mean_spread=self.mean_spread
            + other.mean_spread
            + weight * delta.mean(axis=(1, 2)) ** 2,
            mean_squares=self.mean_squares + other.mean_squares,
        )

    def variances(self) -> Variances:
        """Return intra-image and cross-image variance of the feature maps.

        For each channel c of F (N, C, H, W):

        - intra_c = mean over pictures n of the variance of F[n, c] over its positions;
        - cross_c = mean over positions (i, j) of the variance of F[:, c, i, j] over pictures, the
          unbiased one (divided by N - 1);
        - total_c = intra_c + the unbiased variance over pictures of the mean of F[n, c].

        Both are divided by total_c, so that every channel counts alike whatever its scale, and
        averaged over channels. total_c is what cross_c is on average when the positions of every
        picture are shuffled independently, whatever N is: 1 - cross is the share of variance that
        position explains. Channels that are constant are left out.

        Raises:
            UserError: Fewer than two pictures, or no channel varies.

        Source:
            Chen et al., CVPR 2022, Figure 1 (e), which gives neither normalisation nor formula;
            these are ours.
        """
        if self.count < 2:
            raise UserError(f"variances need at least 2 pictures, got {self.count}")
        intra = self.within / self.count  # (C,)
        total = intra + self.mean_spread / (self.count - 1)  # (C,)
        varies = total > ROUNDING**2 * self.mean_squares / self.count
        if not varies.any():
            raise UserError("features must vary, all channels of these are constant")
        cross = self.spread[varies] / (self.count - 1)  # (C', H, W)
        cross_map = (cross / total[varies, None, None]).mean(axis=0)  # (H, W)
        return Variances(
            intra=float((intra[varies] / total[varies]).mean()),
            cross=float(cross_map.mean()),
            cross_map=cross_map,
        )
