"""Targets and their slack."""

import pytest

from tvseg.bench.measurement import BOTH, FORWARD, Measurement
from tvseg.bench.targets import misses


def row(passes: str = FORWARD, variant: str = "compiled", **values: float) -> Measurement:
    return Measurement("ASPP", 48, variant, passes, **values)


@pytest.mark.parametrize(
    ("passes", "quantity", "good", "bad"),
    [
        (FORWARD, "speedup", 20 / 1.49, 20 / 1.51),
        (FORWARD, "to_depthwise", 1.6 * 1.49, 1.6 * 1.51),
        (BOTH, "speedup", 14 / 1.49, 14 / 1.51),
        (BOTH, "to_depthwise", 1.3 * 1.49, 1.3 * 1.51),
        (BOTH, "memory_to_unfold", 0.12 * 1.49, 0.12 * 1.51),
    ],
)
def test_two_thirds_of_a_target_will_do(
    passes: str, quantity: str, good: float, bad: float
) -> None:
    assert not misses([row(passes, **{quantity: good})])
    (line,) = misses([row(passes, **{quantity: bad})])
    assert quantity in line
    assert "ASPP, 48 images" in line


def test_the_torch_kernel_has_targets_of_its_own() -> None:
    assert not misses([row(variant="torch", speedup=5 / 1.49)])
    (line,) = misses([row(variant="torch", speedup=5 / 1.51)])
    assert "48 images, forward, torch: speedup" in line


def test_other_variants_and_cases_have_no_targets() -> None:
    assert not misses([row(variant="unfold", speedup=0.1)])
    assert not misses([Measurement("MobileNetV2", 48, "compiled", FORWARD, speedup=0.1)])
