import pytest

from tvseg.ops import kernels
from tvseg.ops.kernels import torch_kernel
from tvseg.ops.kernels.numba import threads as numba_threads


@pytest.fixture(params=sorted(n for n, kernel in kernels.KERNELS.items() if kernel.serves("cpu")))
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each kernel that can serves the CPU in turn."""
    monkeypatch.setitem(kernels.PREFERRED, "cpu", request.param)
    return request.param


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small maps fit one block; blocks of a few pixels cut them up."""
    if request.param == "many blocks":
        monkeypatch.setattr(torch_kernel, "_BLOCK_ELEMENTS", 16)
        monkeypatch.setattr(numba_threads, "TILE_ELEMENTS", 64)
    return request.param
