"""Batches side by side on the cores of a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

_pools: dict[int, ThreadPoolExecutor] = {}
_making = threading.Lock()


def run_in_lanes(function: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """``function`` of each part, in order, as many at once as torch has threads here.

    One part for each thread, instead of every small operation shared by all threads: those meet
    after each operation, and where another program holds one core they all wait for it, which has
    been seen to cost a factor of 40.
    """
    lanes = min(torch.get_num_threads(), len(parts))
    if lanes <= 1:
        return [function(part) for part in parts]
    return list(lane_pool(lanes).map(function, parts))


def run_alone(function: Callable[[], R]) -> R:
    """One function of many small operations, each by one thread; modes are set inside of it."""
    if torch.get_num_threads() <= 1:
        return function()
    return lane_pool(torch.get_num_threads()).submit(function).result()


def _alone() -> None:
    torch.get_num_threads()  # a thread takes the program's number at its first question: ask now
    torch.set_num_threads(1)


def lane_pool(lanes: int) -> ThreadPoolExecutor:
    """A pool whose threads each run torch's operations alone; made once and kept."""
    with _making:
        if lanes not in _pools:
            threads = torch.get_num_threads()
            pool = ThreadPoolExecutor(lanes, "lane", _alone)
            # All threads start now: what one sets for itself is also what threads to come, and
            # the rest of the program, would begin with, so it is set back once they stand.
            meeting = threading.Barrier(lanes)
            list(pool.map(lambda _: meeting.wait(), range(lanes)))
            torch.set_num_threads(threads)
            _pools[lanes] = pool
        return _pools[lanes]
