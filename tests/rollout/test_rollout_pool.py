"""The process pool: order, memory, and how it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest

from foresight.core.errors import ForesightError
from foresight.rollout.pool import AHEAD, aside, run_jobs
from pool_jobs import (
    Dying,
    Failing,
    Sleeper,
    Square,
    Threads,
    Told,
    dies_aside,
    fails_aside,
    told_aside,
    unbuilt,
)


def test_results_come_in_order_and_the_job_is_made_once_in_each_process():
    results = list(run_jobs(partial(Square, 0.05), range(12), 2, "squares"))
    assert [result[0] for result in results] == [i * i for i in range(12)]
    counts: dict[int, list[int]] = {}
    for _, pid, done in results:
        counts.setdefault(pid, []).append(done)
    assert len(counts) <= 2 and os.getpid() not in counts
    assert all(sorted(done) == list(range(1, len(done) + 1)) for done in counts.values())
    assert not multiprocessing.active_children()


def test_workers_share_the_cores():
    assert set(run_jobs(Threads, range(2), 2, "work")) == {max(1, (os.cpu_count() or 1) // 2)}


def test_one_worker_stays_here():
    results = list(run_jobs(Square, range(3), 1, "squares"))
    assert results == [
        (0, os.getpid(), 1),
        (1, os.getpid(), 2),
        (4, os.getpid(), 3),
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_whoever_wants_to_know_is_told_of_each_result_once(workers):
    told = []
    results = list(run_jobs(Square, range(6), workers, "squares", told.append))
    assert sorted(told) == sorted(results)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_bad_number_of_workers_is_refused(workers):
    with pytest.raises(ForesightError, match="workers for squares"):
        run_jobs(Square, range(3), workers, "squares")


def test_a_job_that_cannot_travel_is_refused():
    with pytest.raises(ForesightError, match="cannot be sent"):
        run_jobs(lambda: Square(0.0), range(3), 2, "squares")


def test_a_users_mistake_arrives_as_itself_and_a_bug_with_its_traceback():
    with pytest.raises(ForesightError, match="no weights at x"):
        list(run_jobs(partial(Failing, False), range(4), 2, "work"))
    with pytest.raises(KeyError, match="lost"):
        list(run_jobs(partial(Failing, True), range(4), 2, "work"))
    with pytest.raises(ForesightError, match="no such model"):
        list(run_jobs(unbuilt, range(4), 2, "work"))
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_one_clear_sentence():
    with pytest.raises(ForesightError, match=r"worker of work died \(exit code 7; .*fewer workers"):
        list(run_jobs(Dying, range(6), 2, "work"))
    assert not multiprocessing.active_children()


def test_a_caller_that_stops_early_leaves_no_process_behind():
    results = run_jobs(Sleeper, [0, 0, 30, 30, 30], 2, "work")
    next(results)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 25  # rather than wait for thirty
    assert not multiprocessing.active_children()


def test_workers_wait_for_a_slow_caller(tmp_path):
    for count, _ in enumerate(run_jobs(partial(Told, tmp_path), range(30), 2, "work")):
        time.sleep(0.02)
        assert len(list(tmp_path.iterdir())) <= count + 1 + 2 * AHEAD
    assert len(list(tmp_path.iterdir())) == 30


SCRIPT = """
from foresight.rollout.pool import run_jobs
from pool_jobs import Sleeper

if __name__ == "__main__":
    for result in run_jobs(Sleeper, [0.01] * 4 + [60] * 4, 2, "work"):
        print(result, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_caller(tmp_path, how):
    script = tmp_path / "work.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join(sys.path)
    caller = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        # A suite started in the background inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert caller.stdout.readline()
    workers = psutil.Process(caller.pid).children(recursive=True)
    assert len(workers) >= 2
    caller.send_signal(how)
    _, errors = caller.communicate(timeout=50)
    _, alive = psutil.wait_procs(workers, timeout=50)
    assert not alive
    if how == signal.SIGINT:
        assert errors.count("KeyboardInterrupt") == 1  # the caller's own, none of the workers'


def test_what_is_done_aside_goes_on_meanwhile_and_says_nothing(capfd):
    with aside(partial(told_aside, 3), "work aside") as future:
        assert future.result() == (3, future.result()[1]) and future.result()[1] != os.getpid()
    assert capfd.readouterr().out == ""
    assert not multiprocessing.active_children()


def test_a_mistake_aside_arrives_as_itself_and_a_death_as_a_sentence():
    with pytest.raises(ForesightError, match="no such thing"), aside(fails_aside, "work") as future:
        future.result()
    with (
        pytest.raises(ForesightError, match="process of work died"),
        aside(dies_aside, "work") as future,
    ):
        future.result()
    with pytest.raises(ForesightError, match="cannot be sent"), aside(lambda: 1, "work"):
        pass


def test_what_is_done_aside_ends_with_a_mistake_here():
    started = time.perf_counter()
    with pytest.raises(KeyError), aside(partial(time.sleep, 600), "work"):
        raise KeyError
    assert time.perf_counter() - started < 120
    assert not multiprocessing.active_children()
