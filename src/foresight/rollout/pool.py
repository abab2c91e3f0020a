"""Episodes in several processes, in the order in which they were asked for."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, TypeVar, overload

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv, make
from foresight.rollout.episode import Episode, EpisodeSpec, fits, run_episode

T = TypeVar("T")

AHEAD = 2  # finished or running episodes that may wait for the consumer, for each worker


@overload
def run_episodes(specs: Sequence[EpisodeSpec], workers: int) -> Iterator[Episode]: ...


@overload
def run_episodes(
    specs: Sequence[EpisodeSpec], workers: int, finish: Callable[[Episode], T]
) -> Iterator[T]: ...


def run_episodes(
    specs: Sequence[EpisodeSpec], workers: int, finish: Callable[[Episode], Any] | None = None
) -> Iterator[Any]:
    """Run ``specs`` and yield their episodes, or what ``finish`` makes of them, in this order.

    The numbers do not depend on ``workers``. At most ``2 * workers`` episodes are in memory
    beside the one that the caller holds. Processes are spawned, never forked: a script that calls
    this needs the usual ``if __name__ == "__main__":``.

    Args:
        specs: what to run.
        workers: processes; 1 runs in the calling process.
        finish: called with each episode in the process that ran it, for work that is better done
            there (encoding frames, say); it must be picklable.

    Raises:
        ForesightError: an episode cannot run, or a worker process has died.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ForesightError(f"{workers!r} workers are not possible: pass 1 or more.")
    if workers == 1 or len(specs) <= 1:
        return _run_here(specs, finish)
    return _run_spawned(specs, min(workers, len(specs)), finish)


class _Runner:
    """Runs episodes, keeping the last environment for the next spec that fits it."""

    def __init__(self, finish: Callable[[Episode], Any] | None) -> None:
        self._env: DMControlEnv | None = None
        self._finish = finish

    def __call__(self, spec: EpisodeSpec) -> Any:
        if self._env is None or not fits(self._env, spec):
            self.close()
            self._env = make(spec.task, spec.protocol, spec.render)
        episode = run_episode(spec, self._env)
        return episode if self._finish is None else self._finish(episode)

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None


class _Worker:
    """One spawned process and the pipe to it."""

    def __init__(self, context: Any, finish: Callable[[Episode], Any] | None) -> None:
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, finish), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process ends the pipe

    def run(self, spec: EpisodeSpec) -> Any:
        try:
            self._pipe.send(spec)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(timeout=5)
            raise ForesightError(
                f"A worker process died (exit code {self._process.exitcode}) while running "
                f"{spec.task} seed {spec.seed}: check the memory, use fewer workers, and guard "
                'the calling script with if __name__ == "__main__".'
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _run_here(
    specs: Sequence[EpisodeSpec], finish: Callable[[Episode], Any] | None
) -> Iterator[Any]:
    runner = _Runner(finish)
    try:
        for spec in specs:
            yield runner(spec)
    finally:
        runner.close()


def _run_spawned(
    specs: Sequence[EpisodeSpec], count: int, finish: Callable[[Episode], Any] | None
) -> Iterator[Any]:
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    def run(spec: EpisodeSpec) -> Any:
        worker = idle.get()
        try:
            return worker.run(spec)
        finally:
            idle.put(worker)

    # A thread for each process takes its answers, so a busy caller does not hold a process up.
    threads = ThreadPoolExecutor(count)
    running: deque[Future[Any]] = deque()
    try:
        with _quiet_children():
            for _ in range(count):
                workers.append(_Worker(context, finish))
                idle.put(workers[-1])
        remaining = iter(specs)
        for spec in remaining:
            running.append(threads.submit(run, spec))
            if len(running) >= AHEAD * count:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
        for worker in workers:
            worker.stop()
        threads.shutdown(wait=True, cancel_futures=True)


def _serve(pipe: Connection, finish: Callable[[Episode], Any] | None) -> None:
    """The life of a worker process: a spec in, an episode or an error out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle
    runner = _Runner(finish)
    # The pipe breaks when the caller is gone, however it went.
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            spec = pipe.recv()
            try:
                answer: Any = runner(spec)
            except ForesightError as error:
                answer = error
            except Exception:
                answer = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
            pipe.send(answer)


@contextlib.contextmanager
def _quiet_children() -> Iterator[None]:
    """Let every spawned process use one thread: there is one process for each core already."""
    settings = {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
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
