"""Independent jobs in spawned processes, with clean endings."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

import torch

from foresight.core.errors import ForesightError
from foresight.core.progress import track

Job = Callable[[int], Any]

# The job of a worker process, made once when it starts; unused in the main process.
_job: Job | None = None


def run_jobs(
    make_job: Callable[[], Job], items: Sequence[int], workers: int, label: str
) -> Iterator[tuple[int, Any]]:
    """Yield ``(item, job(item))`` as they finish; the job is made once in each process.

    Args:
        make_job: builds the job inside the process; picklable if ``workers`` > 1.
        items: what to run it on.
        workers: processes; 1 stays in this process. Each gets cores // workers torch threads.
        label: for the progress bar and error messages.

    Raises:
        ForesightError: ``workers`` < 1, a job that cannot be pickled, or a worker that died.
    """
    if workers < 1:
        raise ForesightError(f"{workers} workers for {label}: expected at least 1.")
    workers = min(workers, len(items))
    if workers == 1:
        results = _run_here(make_job, items)
    else:
        results = _run_in_processes(make_job, items, workers, label)
    yield from track(results, label, total=len(items))


def _run_here(make_job: Callable[[], Job], items: Sequence[int]) -> Iterator[tuple[int, Any]]:
    job = make_job()
    for item in items:
        yield item, job(item)


def _run_in_processes(
    make_job: Callable[[], Job], items: Sequence[int], workers: int, label: str
) -> Iterator[tuple[int, Any]]:
    _check_picklable(make_job, label)
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(
        max_workers=workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(make_job, threads),
    )
    finished = False
    try:
        futures = {pool.submit(_run, item): item for item in items}
        for future in as_completed(futures):
            yield futures[future], future.result()
        finished = True
    except BrokenProcessPool as error:
        raise ForesightError(
            f"A worker of {label} died (out of memory, killed, or it could not start): use fewer "
            "workers; in a script of your own, keep the call under `if __name__ == '__main__':`."
        ) from error
    finally:
        # After Ctrl-C or an error the episodes still running are of no use to anyone.
        processes = [] if finished else list((pool._processes or {}).values())
        for process in processes:
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _start(make_job: Callable[[], Job], threads: int) -> None:
    global _job  # noqa: PLW0603 (the only state of a worker process)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _die_with_parent()
    torch.set_num_threads(threads)
    os.environ.setdefault("LP_NUM_THREADS", str(threads))  # Mesa's software renderer
    _job = _Deferred(make_job)


def _run(item: int) -> Any:
    assert _job is not None
    return _job(item)


class _Deferred:
    """Makes the job at its first use: an error then reaches the parent with its message, while an
    error in a pool's initializer only breaks the pool.
    """

    def __init__(self, make_job: Callable[[], Job]) -> None:
        self.make_job = make_job
        self.job: Job | None = None

    def __call__(self, item: int) -> Any:
        if self.job is None:
            self.job = self.make_job()
        return self.job(item)


def _die_with_parent() -> None:
    """Without this, workers of a process killed with ``kill -9`` would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _check_picklable(make_job: Callable[[], Job], label: str) -> None:
    try:
        pickle.dumps(make_job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ForesightError(
            f"What runs {label} cannot be sent to worker processes ({error}): pass a function of "
            "a module or a functools.partial of one, not a lambda or a local function, or use "
            "one worker."
        ) from error
