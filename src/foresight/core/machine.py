"""The machine that a time was measured on, and what this process takes of it."""

from __future__ import annotations

import functools
import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


def machine() -> dict[str, str | int | float]:
    """Processor, usable cores, torch threads, memory in GiB and accelerator of this process."""
    import torch

    usable = getattr(os, "sched_getaffinity", None)
    return {
        "processor": _processor(),
        "cores": len(usable(0)) if usable else (os.cpu_count() or 1),
        "threads": torch.get_num_threads(),
        "memory-gib": round(psutil.virtual_memory().total / 2**30, 1),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "platform": platform.platform(),
    }


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch's operations by ``count`` threads inside; 0 leaves their number.

    One is right where many small operations follow each other, as in learning. Threads that share
    an operation meet at its end; they sleep while they wait (see `foresight/__init__.py`), and
    waking takes longer than most of these operations: an update of the joint model took 74 ms by
    two threads and 47 by one.
    """
    import torch  # here, so that processes that only ask for memory do without it

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_gib() -> float:
    """Most memory this process has held, in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def held_gib() -> float:
    """Memory this process holds now, in GiB."""
    return float(_process(os.getpid()).memory_info().rss) / 2**30


@functools.cache
def _process(number: int) -> psutil.Process:
    return psutil.Process(number)  # which takes longer than all that it is asked for


def _processor() -> str:
    """Its name; Linux keeps it in a file, others in ``platform``."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
