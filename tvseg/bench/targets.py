"""Targets of the operator on a CPU with one thread, and whether they are met."""

from collections.abc import Iterable
from dataclasses import dataclass

from tvseg.bench.measurement import BOTH, FORWARD, Measurement

SLACK = 1.5
"""A check fails below two thirds of a target, since machines differ."""


@dataclass(frozen=True)
class Target:
    """A bound on one quantity of one variant in one case.

    Args:
        case: Name of the case.
        batch: Images.
        passes: Which passes.
        quantity: Field of :class:`Measurement`.
        bound: What is to be reached.
        variant: Whose.
    """

    case: str
    batch: int
    passes: str
    quantity: str
    bound: float
    variant: str = "compiled"

    def met_by(self, value: float) -> bool:
        """Tell whether a value is within the slack: speed-ups from below, the rest from above."""
        if self.quantity == "speedup":
            return value >= self.bound / SLACK
        return value <= self.bound * SLACK


STEP = "training step"
TARGETS = (
    *(Target("ASPP", batch, FORWARD, "speedup", bound)
      for batch, bound in ((1, 60), (4, 40), (16, 25), (48, 20))),
    Target("ASPP", 16, FORWARD, "to_depthwise", 1.4),
    Target("ASPP", 48, FORWARD, "to_depthwise", 1.6),
    *(Target("ASPP", batch, BOTH, "speedup", 14) for batch in (16, 48)),
    *(Target("ASPP", batch, BOTH, "to_depthwise", 1.3) for batch in (16, 48)),
    Target("ASPP", 48, BOTH, "memory_to_unfold", 0.12),
    Target("network", 1, FORWARD, "to_depthwise", 1.2),
    Target("network", 48, STEP, "to_depthwise", 1.2),
    *(Target("ASPP", batch, FORWARD, "speedup", bound, "torch")
      for batch, bound in ((1, 30), (4, 11), (16, 6), (48, 5))),
    *(Target("ASPP", batch, BOTH, "speedup", 4.5, "torch") for batch in (16, 48)),
    Target("ASPP", 48, BOTH, "memory_to_unfold", 0.2, "torch"),
    Target("network", 1, FORWARD, "to_depthwise", 1.6, "torch"),
    Target("network", 48, STEP, "to_depthwise", 1.5, "torch"),
    *(Target(f"MobileNetV2 x{width}", batch, passes, "to_depthwise", bound, "tvconv")
      for width in ("0.1", "1")
      for batch, passes, bound in ((1, FORWARD, 1.6), (16, FORWARD, 1.3), (128, STEP, 2.0))),
)  # fmt: skip


def refusals(rows: Iterable[Measurement]) -> list[str]:
    """Say which forms were not timed, and why.

    Args:
        rows: Of a benchmark.
    """
    return [
        f"{row.case}, {row.batch} images, {row.passes}: {row.variant} differs from the plain "
        f"torch form by {row.error:.1e} and was not timed"
        for row in rows
        if row.refused
    ]


def misses(rows: Iterable[Measurement]) -> list[str]:
    """Say which rows miss their target by more than the slack.

    Args:
        rows: Of a benchmark; targets of cases that it does not hold are left out.
    """
    found = []
    for row in rows:
        for target in TARGETS:
            key = (target.case, target.batch, target.passes, target.variant)
            value = getattr(row, target.quantity)
            measured = key == (row.case, row.batch, row.passes, row.variant) and value is not None
            if measured and not target.met_by(value):
                found.append(
                    f"{row.case}, {row.batch} images, {row.passes}, {row.variant}: "
                    f"{target.quantity} must be within two thirds of {target.bound:g}, "
                    f"got {value:.3g}"
                )
    return found
