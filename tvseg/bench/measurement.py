"""One row of a benchmark's table."""

from dataclasses import dataclass

FORWARD, BOTH = "forward", "forward + backward"


@dataclass(frozen=True)
class Measurement:
    """One variant in one case; what was not measured is None.

    Args:
        case: Name of the case.
        batch: Images.
        variant: Name of the variant.
        passes: ``forward``, ``forward + backward`` or ``training step``.
        channels: Of the maps.
        height: Of the input map.
        width: Of the input map.
        error: Largest relative difference to the plain torch form.
        refused: Whether that is too much for times to be believed; there are none then.
        milliseconds: Median time.
        speedup: Times as fast as the published form.
        to_depthwise: Time relative to the depthwise convolution in channels_last.
        macs: Multiplications.
        megabytes: Least that must be moved, in 1e6 bytes.
        bandwidth_share: What these take of the bandwidth of a copy.
        peak_mb: Most that tensors took, in 1e6 bytes.
        memory_to_unfold: Peak relative to the unfolded form's.
        kept_mb: Weights that a frozen network keeps, in 1e6 bytes.
    """

    case: str
    batch: int
    variant: str
    passes: str
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    error: float | None = None
    refused: bool = False
    milliseconds: float | None = None
    speedup: float | None = None
    to_depthwise: float | None = None
    macs: int | None = None
    megabytes: float | None = None
    bandwidth_share: float | None = None
    peak_mb: float | None = None
    memory_to_unfold: float | None = None
    kept_mb: float | None = None
