"""Kill a writer at every one of its steps; run by test_data_crash.py in a process of its own.

Every attempt is a forked child of a process that has done nothing but import, and dies by SIGKILL
before its k-th renaming or removal of a file. Prints the number of steps that were tried.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from foresight.data.check import repair
from made_up import make_episode, open_or_create

SEEDS = range(2)


def write(path: Path) -> None:
    """What collecting does: append what is missing, in two goes."""
    for last in (1, 2):
        with open_or_create(path) as store:
            for seed in SEEDS[len(store) : last]:
                store.append(make_episode(seed, steps=4))
            store.finish()


def mend(path: Path) -> None:
    repair(path)


def child(action: Callable[[Path], None], path: Path, deadly: int) -> int:
    """Run ``action`` in a fork that dies at step ``deadly``; 0 if it came to its end."""
    pid = os.fork()
    if pid == 0:
        steps = 0

        def counted(real: Callable) -> Callable:
            def call(*args: object, **kwargs: object) -> object:
                nonlocal steps
                steps += 1
                if steps == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return call

        # Every file is renamed into place and its temporary name then unlinked, so these two
        # stop the writer before and after each change that a reader can see.
        for name in ("replace", "unlink"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            action(path)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(out: Path, what: str) -> None:
    action = {"write": write, "mend": mend}[what]
    k = 0
    while True:
        k += 1
        path = out / f"{k:03d}"
        if what == "mend":
            shutil.copytree(out / "damaged", path)
        code = child(action, path, k)
        if code == 0:
            shutil.rmtree(path)
            break
        if code != -signal.SIGKILL:
            sys.exit(f"step {k} ended with {code}")
        if child(action, path, -1) != 0:
            sys.exit(f"the run after step {k} failed")
    print(k - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
