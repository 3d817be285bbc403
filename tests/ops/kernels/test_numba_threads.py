"""How the compiled kernel's work is shared out: torch's threads, forks, workers."""

import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tests.ops.kernels.test_numba_kernel import TYPICAL, results
from tests.ops.tv_conv_parity import Case, draw
from tvseg.ops.kernels.numba import kernel as numba_kernel
from tvseg.ops.kernels.numba import threads as numba_threads


@pytest.fixture
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """However little there is to do, every thread gets a share."""
    monkeypatch.setattr(numba_threads, "THREAD_ELEMENTS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(params=["torch's team", "this thread alone"])
def team(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The threads that share the work."""
    if request.param == "this thread alone":
        monkeypatch.setattr(numba_threads, "_torch_team", lambda: None)
    return request.param


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("threads", [2, 5, 64], indirect=True)
@pytest.mark.parametrize(
    "case", [TYPICAL, Case(3, 1, 1, (17, 5, 1, 2)), Case(3, 1, 1, (2, 40, 16, 16))], ids=str
)
def test_threads_give_the_same_bits(case: Case, threads: int) -> None:
    tensors = draw(case, torch.float32, "channels_last")
    given = results(*tensors, case)
    torch.set_num_threads(1)
    for ours, alone in zip(given, results(*tensors, case), strict=True):
        assert torch.equal(ours, alone)


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_two_threads_take_part(threads: int) -> None:
    meeting = threading.Barrier(threads, timeout=60)
    numba_threads.run(lambda _: meeting.wait(), [1, 2])  # one thread alone would never pass
    assert not meeting.broken


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_an_error_in_any_thread_is_the_caller_s(threads: int, team: str) -> None:
    done = []

    def work(job: int) -> None:
        if job == 2:
            raise MemoryError("no room")
        done.append(job)

    with pytest.raises(MemoryError, match="no room"):
        numba_threads.run(work, [1, 2, 3])
    assert set(done) == ({1, 3} if team == "torch's team" else {1})


@pytest.mark.parametrize("threads", [1], indirect=True)
def test_a_team_of_one_does_every_job(threads: int, team: str) -> None:
    done: list[int] = []
    numba_threads.run(done.append, [1, 2, 3])
    assert sorted(done) == [1, 2, 3]


def test_an_interrupt_that_openmp_hides_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_threads, "_torch_team", lambda: lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        numba_threads.run(lambda _: None, [1, 2])


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 7, 256, 577])
@pytest.mark.parametrize("most", [0, 1, 30, 9999])
def test_threads_get_as_many_tiles(count: int, threads: int, most: int) -> None:
    tile = numba_threads.even_share(count, threads, most)
    tiles = -(-count // tile)
    assert 1 <= tile <= max(1, most)
    assert tiles * tile < count + tile
    own = -(-tiles // threads)  # of the thread that has most
    assert own * tile <= count / threads + own


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings another runtime there")
def test_torch_s_own_threads_are_found() -> None:
    assert numba_threads._torch_team() is not None


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize("threads", [3], indirect=True)
def test_concurrent_calls_do_not_meet(threads: int) -> None:
    tensors = draw(TYPICAL, torch.float32, "channels_last")
    wanted = results(*tensors, TYPICAL)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(results, *tensors, TYPICAL) for _ in range(64)]
        for call in calls:
            for ours, alone in zip(call.result(timeout=60), wanted, strict=True):
                assert torch.equal(ours, alone)


def _in_child(connection: "multiprocessing.connection.Connection") -> None:
    tensors = draw(TYPICAL, torch.float32, "channels_last")
    numba_threads.THREAD_ELEMENTS = 1
    sent = [tensor.contiguous().numpy() for tensor in results(*tensors, TYPICAL)]
    connection.send((numba_threads.threads_for(100), sent))


@pytest.mark.skipif(sys.platform == "win32", reason="has no fork")
@pytest.mark.parametrize("threads", [2], indirect=True)
def test_a_forked_process_computes(threads: int) -> None:
    tensors = draw(TYPICAL, torch.float32, "channels_last")
    wanted = results(*tensors, TYPICAL)  # starts this process's threads
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_in_child, args=(there,))
    child.start()
    try:
        assert here.poll(60), "the forked process hangs"
        threads_there, given = here.recv()
    finally:
        child.kill()
        child.join()
    assert threads_there == threads
    for ours, alone in zip(given, wanted, strict=True):
        assert np.array_equal(ours, alone.numpy())


class _Outputs(torch.utils.data.Dataset[Tensor]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        x, weight, _ = draw(Case(3, 1, 1, (1, 33, 4, 5)), torch.float32, "channels_last")
        return numba_kernel.forward(x * (index + 1), weight, 1, 1)[0]


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_data_workers_compute(threads: int) -> None:
    outputs = _Outputs()
    wanted = [outputs[index] for index in range(4)]
    loader = DataLoader(outputs, batch_size=None, num_workers=2, timeout=60)
    for ours, here in zip(loader, wanted, strict=True):
        assert torch.equal(ours, here)
