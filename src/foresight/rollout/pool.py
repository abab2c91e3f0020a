"""The one process pool: jobs in spawned processes, results in order, clean endings."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import connection
from typing import Any, Protocol

from foresight.core.errors import ForesightError

AHEAD = 2
"""Items that run or wait for the consumer at once, for each worker."""


class Job(Protocol):
    """What a process does with every item; it may have ``close()``."""

    def __call__(self, item: Any, /) -> Any:
        """The result of an item."""
        ...


# The job of a worker process, made at its first item; unused in the main process.
_job: _Deferred | None = None


def run_jobs(
    make_job: Callable[[], Job],
    items: Sequence[Any],
    workers: int,
    label: str,
    on_result: Callable[[Any], None] | None = None,
) -> Iterator[Any]:
    """Yield ``job(item)`` for every item, in the order of the items.

    The job is made once in each process. At most ``AHEAD * workers`` items run or wait at once, so
    a slow consumer holds the workers up and not the memory. Processes are spawned, never forked:
    a script that calls this needs the usual ``if __name__ == "__main__":``.

    Args:
        make_job: builds the job inside the process; picklable if ``workers`` > 1.
        items: what to run it on.
        workers: processes; 1 stays in this process. Each gets cores // workers threads.
        label: what is being done, for the sentence of an error.
        on_result: called with every result as soon as it is there, in any order.

    Raises:
        ForesightError: ``workers`` < 1, a job that cannot be pickled, or a worker that died.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ForesightError(f"{workers!r} workers for {label} are not possible: pass 1 or more.")
    if workers == 1 or len(items) <= 1:
        return _run_here(make_job, items, on_result)
    _check_picklable((make_job, items[0]), label)
    return _run_spawned(make_job, items, min(workers, len(items)), label, on_result)


def _run_here(
    make_job: Callable[[], Job], items: Sequence[Any], on_result: Callable[[Any], None] | None
) -> Iterator[Any]:
    job = make_job()
    try:
        for item in items:
            result = job(item)
            if on_result is not None:
                on_result(result)
            yield result
    finally:
        _close(job)


def _run_spawned(
    make_job: Callable[[], Job],
    items: Sequence[Any],
    workers: int,
    label: str,
    on_result: Callable[[Any], None] | None,
) -> Iterator[Any]:
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = _spawning(workers, make_job)
    waiting = deque(items)
    running: deque[Future[Any]] = deque()
    told: set[Future[Any]] = set()
    processes: dict[int, Any] = {}
    finished = False
    try:
        while waiting or running:
            with _few_threads(threads):  # processes start here
                while waiting and len(running) < AHEAD * workers:
                    running.append(pool.submit(_run, waiting.popleft()))
            processes.update(pool._processes or {})
            wait(set(running) - told, return_when=FIRST_COMPLETED)
            for future in running:
                if future not in told and future.done():
                    told.add(future)
                    if on_result is not None:
                        on_result(future.result())
            while running and running[0] in told:
                told.discard(running[0])
                yield running.popleft().result()
        finished = True
    except BrokenProcessPool as error:
        raise ForesightError(
            f"A worker of {label} died ({_exit_of(processes)}; out of memory, killed, or it could "
            "not start): use fewer workers; in a script of your own, keep the call under "
            '`if __name__ == "__main__":`.'
        ) from error
    finally:
        # After Ctrl-C or an error what still runs is of no use to anyone.
        _end(pool, finished)


def _spawning(workers: int, make_job: Callable[[], Job]) -> ProcessPoolExecutor:
    """Processes that are spawned, each with a job of its own."""
    spawned = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawned, initializer=_start, initargs=(make_job,))


def _end(pool: ProcessPoolExecutor, finished: bool) -> None:
    """Stop what still runs, unless all of it is done."""
    for process in [] if finished else list((pool._processes or {}).values()):
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def aside(work: Callable[[], Any], label: str) -> Iterator[Future[Any]]:
    """Something done in a process of its own while this one does something else.

    The process has one thread, prints nothing, and ends with this one. Where the block is left
    before its result was asked for, it is stopped: what it does should be able to go on later.

    Args:
        work: picklable.
        label: what is being done, for the sentence of an error.

    Yields:
        The future of its result; an error of the work is raised where the result is asked for.

    Raises:
        ForesightError: work that cannot be pickled, or the process died.
    """
    _check_picklable(work, label)
    pool = _spawning(1, partial(_Silent, work))
    with _few_threads(1):
        future = pool.submit(_run, None)
    processes = dict(pool._processes or {})
    try:
        yield future
    except BrokenProcessPool as error:
        raise ForesightError(
            f"The process of {label} died ({_exit_of(processes)}; out of memory, or killed): run "
            "the same command again, it goes on where it was."
        ) from error
    finally:
        _end(pool, future.done())


class _Silent:
    """The job that does one thing and prints nothing."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work

    def __call__(self, _: None, /) -> Any:
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            return self.work()


def _exit_of(processes: dict[int, Any]) -> str:
    """How the first one ended that nobody has told to."""
    for process in processes.values():
        process.join(timeout=5)
    codes = [process.exitcode for process in processes.values()]
    own = [code for code in codes if code not in (0, None, -signal.SIGTERM)]
    return f"exit code {(own or codes or [None])[0]}"


def _start(make_job: Callable[[], Job]) -> None:
    global _job  # noqa: PLW0603 (the only state of a worker process)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _die_with_parent()
    _job = _Deferred(make_job)


def _run(item: Any) -> Any:
    assert _job is not None
    return _job(item)


class _Deferred:
    """Makes the job at its first use: an error then reaches the parent with its message, while an
    error in a pool's initializer only breaks the pool.
    """

    def __init__(self, make_job: Callable[[], Job]) -> None:
        self.make_job = make_job
        self.job: Job | None = None

    def __call__(self, item: Any) -> Any:
        if self.job is None:
            self.job = self.make_job()
        return self.job(item)


def _close(job: Job) -> None:
    close = getattr(job, "close", None)
    if callable(close):
        close()


def _die_with_parent() -> None:
    """Without this, workers of a process killed with ``kill -9`` would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _check_picklable(what: Any, label: str) -> None:
    try:
        pickle.dumps(what)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ForesightError(
            f"What runs {label} cannot be sent to worker processes ({error}): pass a function of "
            "a module or a functools.partial of one, not a lambda or a local function, or use "
            "one worker."
        ) from error


@contextlib.contextmanager
def _few_threads(count: int) -> Iterator[None]:
    """Processes that start inside use so many threads: they share the cores. Torch reads it, too.

    ``LP_NUM_THREADS`` is Mesa's software renderer; 0 draws on the calling thread.
    """
    settings = {"OMP_NUM_THREADS": str(count), "LP_NUM_THREADS": str(count if count > 1 else 0)}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
