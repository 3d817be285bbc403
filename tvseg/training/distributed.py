"""The processes that train one network together, as torchrun starts them; by default there is one.

Every process computes its share of each batch. The first one (rank 0) alone writes and speaks.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler

from tvseg.device import choose_device
from tvseg.errors import UserError

TIMEOUT = timedelta(hours=2)
"""How long processes wait for one another, such as for the first one to decode photographs."""

T = TypeVar("T")


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def launched() -> int:
    """Return how many processes torchrun has started, 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1


def is_first() -> bool:
    """Return whether this process speaks for all, before they join and after they part as well."""
    return launched() == 1 or os.environ["RANK"] == "0"


def check_alone(command: str) -> None:
    """Raise UserError where torchrun has started several processes of a command that is for one."""
    if launched() > 1:
        error = UserError(f"'{command}' runs in one process: start it without torchrun")
        raise error if is_first() else SystemExit(error.exit_code)


@contextmanager
def joined(device: str | None) -> Iterator[torch.device]:
    """Join the processes that torchrun has started, if it has, and give each its device.

    They talk through NCCL on GPUs and through gloo on CPUs. A process group that exists already is
    used as it is.

    Args:
        device: Name of a torch device; ``None`` chooses. Under torchrun ``cuda`` or ``cpu``; the
            processes of a machine have a GPU each.

    Raises:
        UserError: No such device, or fewer GPUs than processes.
    """
    if launched() == 1:
        yield choose_device(device)
        return
    chosen = _device_of_process(device, int(os.environ["LOCAL_RANK"]))
    if dist.is_initialized():
        yield chosen
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=TIMEOUT)
    if rank() != 0:
        logging.getLogger("tvseg").setLevel(logging.ERROR)
    try:
        yield chosen
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise UserError(
            f"process {rank()} has lost another one of this training, see its message; continue "
            "with --resume"
        ) from error
    dist.destroy_process_group()  # after an error others may be gone, and it would wait for them


def _device_of_process(device: str | None, number: int) -> torch.device:
    gpus = torch.cuda.device_count()
    if number < gpus:
        torch.cuda.set_device(number)
    chosen = choose_device(device)
    if chosen.type not in ("cuda", "cpu") or chosen.index is not None:
        raise UserError(
            f"device must be cuda or cpu under torchrun, which gives each process a GPU of its "
            f"own; got {device or chosen}"
        )
    if chosen.type == "cpu":
        return chosen
    if number >= gpus:
        count = os.environ["LOCAL_WORLD_SIZE"]
        raise UserError(
            f"each process needs a GPU of its own: torchrun started {count}, torch finds {gpus}"
        )
    return torch.device("cuda", number)


def on_first(act: Callable[[], T]) -> T:
    """Call a function in the first process, and return its result in all of them.

    Where it fails, the other processes leave in silence with the same exit code.

    Args:
        act: Returns what can be pickled.
    """
    if processes() == 1:
        return act()
    sent: list[Any] = [None, 0]
    try:
        if rank() == 0:
            sent[0] = act()
    except BaseException as error:
        sent[1] = getattr(error, "exit_code", 1)
        raise
    finally:
        dist.broadcast_object_list(sent)
    if sent[1]:
        sys.exit(sent[1])
    result: T = sent[0]
    return result


def first_then_others(act: Callable[[], T]) -> T:
    """Call a function in the first process, then in the others; each gets a result of its own.

    What the first one fetches or caches is there for the others; where it fails, they leave.
    """
    results: list[T] = []
    on_first(lambda: results.append(act()))
    return results[0] if rank() == 0 else act()


@contextmanager
def first_only(context: AbstractContextManager[None]) -> Iterator[None]:
    """Enter a context in the first process alone; the others wait until it has."""
    with ExitStack() as stack:
        on_first(lambda: stack.enter_context(context))
        yield


def once(error: UserError) -> BaseException:
    """Return what to raise where every process has the same error, so that it is said once."""
    return error if rank() == 0 else SystemExit(error.exit_code)


def any_of(flag: bool) -> bool:
    """Return whether a flag is set in any process."""
    if processes() == 1:
        return flag
    flags = torch.tensor(int(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def mean_of(value: torch.Tensor) -> torch.Tensor:
    """Return the mean over processes of a tensor that each has."""
    if processes() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / processes()


def gathered(share: Sequence[T]) -> list[T]:
    """Return the list that each process has every N-th item of, in its order."""
    if processes() == 1:
        return list(share)
    shares: list[Any] = [None] * processes()
    dist.all_gather_object(shares, list(share))
    whole: list[Any] = [None] * sum(map(len, shares))
    for number, part in enumerate(shares):
        whole[number :: len(shares)] = part
    return whole


def own_places(count: int) -> range:
    """Return the places of a list of ``count`` items that are this process's: every N-th."""
    return range(rank(), count, processes())


class OwnShare(Sampler[list[T]]):
    """This process's share of each batch: every N-th example, and so as many of each centre.

    Args:
        batches: Those of all processes.
    """

    def __init__(self, batches: Sampler[list[T]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]  # torch leaves it out of Sampler

    def __iter__(self) -> Iterator[list[T]]:
        for batch in self.batches:
            yield [batch[place] for place in own_places(len(batch))]


def parallel(network: nn.Module) -> nn.Module:
    """Return the network as steps run it: its gradients are averaged over processes.

    On GPUs batch norm counts over the whole batch, and its layers are replaced to that end; on CPUs
    each process counts its share, and the first one's statistics are kept.
    """
    if processes() == 1:
        return network
    if next(network.parameters()).device.type == "cuda":
        convert_sync_batchnorm(network)  # torch's drops the activations of timm's batch norms
    return DistributedDataParallel(network)


def unsynchronised(network: nn.Module) -> AbstractContextManager[None]:
    """Return the context of a part of a step after which gradients stay in their process."""
    if isinstance(network, DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


def copy_buffers(network: nn.Module) -> None:
    """Give all processes the first one's buffers, such as the statistics of batch norm."""
    if processes() > 1:
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def seed_step(seed: int, step: int) -> None:
    """Let what processes draw in a step, such as dropout, depend on seed, step and process alone.

    One process on its own is left to its generator, whose state checkpoints keep.
    """
    if processes() > 1:
        sequence = np.random.SeedSequence([seed, step, rank()])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
