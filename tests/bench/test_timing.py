"""How time and memory are measured."""

import pytest
import torch

from tvseg.bench import timing
from tvseg.bench.timing import interleave, peak_memory, ratio


def test_calls_take_turns_after_one_untimed_call_each(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = iter(range(100))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = interleave(calls, rounds=3)
    assert order == ["a", "b"] * 4
    assert seconds == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_ratio_is_the_median_of_rounds() -> None:
    assert ratio([1, 20, 3], [1, 2, 1]) == 3


def test_peak_memory_counts_what_lives_at_once() -> None:
    held = torch.zeros(1000)

    def call() -> torch.Tensor:
        first = held + 1  # 4000 bytes
        second = torch.cat([first, first])  # 8000 bytes
        del first
        return second + second  # 8000 bytes

    assert peak_memory(call) == pytest.approx(16_000, abs=64)
    assert peak_memory(call, [held]) == pytest.approx(20_000, abs=64)


def test_bandwidth_and_peak_are_those_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_STREAM_ELEMENTS", 1 << 12)
    monkeypatch.setattr(timing, "_PRODUCT_SIDE", 8)
    monkeypatch.setattr(timing, "interleave", lambda calls, **_: {key: [2.0] for key in calls})
    assert timing.stream_bandwidth() == 2 * 4 * (1 << 12) / 2
    assert timing.arithmetic_peak() == 2 * 8**3 / 2
