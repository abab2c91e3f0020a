"""Batches side by side on the cores of a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def run_in_lanes(function: Callable[[T], R], parts: Sequence[T]) -> list[R]:
    """``function`` of each part, in order, as many at once as torch has threads here.

    One part for each thread, instead of every small operation shared by all threads: those meet
    after each operation, and where another program holds one core they all wait for it, which has
    been seen to cost a factor of 40.
    """
    lanes = min(torch.get_num_threads(), len(parts))
    if lanes <= 1:
        return [function(part) for part in parts]
    with single_threaded(lanes) as pool:
        return list(pool.map(function, parts))


@contextmanager
def single_threaded(lanes: int) -> Iterator[ThreadPoolExecutor]:
    """A pool whose threads each run torch's operations alone."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        # What a thread sets for itself is also what threads to come begin with.
        torch.set_num_threads(threads)
