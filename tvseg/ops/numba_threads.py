"""How the compiled loops' work is cut into tiles and shared out to threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import torch

from tvseg.ops.geometry import Span

TILE_ELEMENTS = 9 << 16
"""Weights of one tile at most: 2.25 MiB in float32. They stream from the L3 cache as fast as they
are used, and a larger tile reads fewer pixels around it again."""
UNPACKED_IMAGES = 4
"""Batches up to this one read each weight twice at most, and contiguous loops do not pack them."""
THREAD_ELEMENTS = 1 << 16
"""Multiplications worth a thread of their own: some ten microseconds, as long as its start."""


class Job(NamedTuple):
    """One thread's share: tiles and images, each (first, one past the last)."""

    tiles: Span
    images: Span


def threads_for(multiplications: int) -> int:
    """How many of torch's threads are worth their start.

    Args:
        multiplications: Of the whole call.
    """
    return max(1, min(torch.get_num_threads(), multiplications // THREAD_ELEMENTS))


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
    """Do every job, the first one on this thread.

    Args:
        work: Does one; holds no lock of the interpreter meanwhile.
        jobs: At least one.
    """
    others = [_pool().submit(work, job) for job in jobs[1:]]
    work(jobs[0])
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads of this process, started as they are needed."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="tv_conv")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
