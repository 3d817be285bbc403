"""How the compiled loops' work is cut into tiles and shared out to threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache
from threading import get_ident
from typing import Any, NamedTuple, cast

import torch

from tvseg.ops.geometry import Span

TILE_ELEMENTS = 9 << 16
"""Weights of one tile at most: 2.25 MiB in float32. They stream from the L3 cache as fast as they
are used, and a larger tile reads fewer pixels around it again."""
THREAD_ELEMENTS = 1 << 18
"""Multiplications worth another thread: thirty microseconds, where a start takes ten."""


class Job(NamedTuple):
    """One thread's share: tiles and images, each (first, one past the last)."""

    tiles: Span
    images: Span


def threads_for(multiplications: int) -> int:
    """Return how many of torch's threads are worth their start.

    Args:
        multiplications: Of the whole call.
    """
    return max(1, min(torch.get_num_threads(), multiplications // THREAD_ELEMENTS))


def even_share(count: int, threads: int, most: int) -> int:
    """Return how many of count belong into a tile, so that threads get about as many tiles.

    Args:
        count: Pixels or channels, at least one.
        threads: That share the tiles.
        most: Of a tile.

    Returns:
        From one to most, or one.
    """
    tiles = -(-count // max(1, most))
    return -(-count // (-(-tiles // threads) * threads))


def share_out(tiles: int, images: int, *, threads: int, split_images: bool) -> list[Job]:
    """Cut tiles, and images where there are fewer tiles than threads.

    Args:
        tiles: Number of tiles.
        images: Number of images.
        threads: Most jobs to make.
        split_images: Whether two threads may share a tile.

    Returns:
        Jobs that together cover every tile of every image once.
    """
    by_tile = min(threads, tiles)
    by_image = min(images, threads // by_tile) if split_images else 1
    return [
        Job(tile_span, image_span)
        for tile_span in _spans(tiles, by_tile)
        for image_span in _spans(images, by_image)
    ]


def _spans(count: int, parts: int) -> list[Span]:
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def run(work: Callable[[Job], None], jobs: Sequence[Job]) -> None:
    """Do every job, on torch's threads or, where they cannot be used, on this one.

    Args:
        work: Does one; holds no lock of the interpreter meanwhile, and all tensors that it needs.
        jobs: At least one.

    Raises:
        BaseException: the first that any job raised; all others are done, or have ended, by then.
    """
    in_team = None if len(jobs) == 1 or _forked else _torch_team()
    if in_team is None:
        for job in jobs:
            work(job)
        return
    left, began, errors = iter(jobs), set(), []

    def take(_data: Any = None) -> None:
        try:
            began.add(get_ident())
            for job in left:
                work(job)
        except BaseException as error:
            errors.append(error)

    # the whole team, however few the jobs: one that shrinks ends threads, to start them anew
    in_team(_TeamFunction(take), None, torch.get_num_threads(), 0)
    if get_ident() not in began:  # interrupted before it began, where nobody sees it
        raise KeyboardInterrupt
    if errors:
        raise errors[0]


_TeamFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@cache
def _torch_team() -> Callable[..., None] | None:
    """Find the function that runs another on every thread of torch's OpenMP team, if it has one.

    After each of torch's operators its threads wait for the next one without letting go of their
    cores, for some milliseconds: other threads would have no cores left to run on. This is the
    call that compilers make of `#pragma omp parallel`; both GNU's and LLVM's runtime offer it.
    """
    try:
        call = ctypes.CDLL(torch._C.__file__).GOMP_parallel
    except (AttributeError, OSError):
        return None
    call.argtypes = [_TeamFunction, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    call.restype = None
    return cast("Callable[..., None]", call)


_forked: list[bool] = []
"""Not empty in a forked process: it has none of its parent's threads, and OpenMP ignores that."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _forked.append(True))
