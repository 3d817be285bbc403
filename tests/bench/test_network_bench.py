"""The benchmark of the network and of a training step, in small."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tvseg.bench.measurement import FORWARD
from tvseg.bench.networks import measure_forward, measure_training, published
from tvseg.bench.targets import STEP
from tvseg.models.builder import build_model
from tvseg.ops import kernels

VARIANTS = ["authors", "torch", "compiled", "depthwise"]

pytestmark = pytest.mark.usefixtures("narrow_tvconv")


def silent(words: str) -> None:
    del words


def test_rows_of_the_network() -> None:
    rows = list(measure_forward(rounds=1, say=silent, image_size=64))
    assert [row.variant for row in rows] == [*VARIANTS, "compiled, bf16 weights"]
    assert all((row.case, row.batch, row.passes) == ("network", 1, FORWARD) for row in rows)
    kept = 3 * 4 * 1920 * 9 * 4 * 4 / 1e6
    assert [row.kept_mb for row in rows] == [0, kept, kept, 0, kept / 2]
    assert all(row.milliseconds > 0 and row.peak_mb > 0 for row in rows)
    assert [row.error is None for row in rows] == [False, False, False, True, False]
    assert (rows[0].speedup, rows[3].to_depthwise) == (1, 1)


def test_rows_of_a_training_step() -> None:
    rows = list(measure_training(rounds=1, say=silent, batch=2, image_size=64))
    assert [row.variant for row in rows] == VARIANTS
    assert all((row.batch, row.passes) == (2, STEP) for row in rows)
    assert all(row.milliseconds > 0 for row in rows)


def broken(kernel: kernels.Kernel, direction: str) -> kernels.Kernel:
    compute = getattr(kernel, direction)

    def doubled(*arguments: object) -> Tensor:
        return 2 * compute(*arguments)

    return replace(kernel, **{direction: doubled})


@pytest.mark.parametrize("direction", ["forward", "grad_input"])
def test_a_network_with_a_wrong_kernel_is_refused(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = broken(kernels.KERNELS["numba"], direction)
    monkeypatch.setitem(kernels.KERNELS, "numba", wrong)
    rows = {row.variant: row for row in measure_training(rounds=1, say=silent, batch=2,
                                                         image_size=64)}  # fmt: skip
    assert [name for name, row in rows.items() if row.refused] == ["compiled"]
    assert rows["compiled"].milliseconds is None
    assert rows["torch"].milliseconds is not None


def test_the_published_network_unfolds_and_computes_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = build_model(aspp="tvconv", image_size=64).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = network(x)
        monkeypatch.setattr(kernels, "KERNELS", {})  # none is asked
        given = published(network)(x)
    torch.testing.assert_close(given, wanted, rtol=1e-3, atol=1e-3)
