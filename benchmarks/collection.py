"""Speed and memory of collecting data, beside dm_control's own rendering in the same run.

Ours is everything a user waits for: starting the worker processes, physics, an ε-greedy expert,
rendering, lossless video, the folder on disk. dm_control's side is the plain loop of ``step`` and
``physics.render`` in one process, with nothing stored. The two take turns, so that whatever else
the machine does falls on both.

    foresight bench collect --memory-episodes 0     # speed alone, half a minute
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from foresight.envs.dmc.tasks import resolve
from foresight.envs.gl import choose_gl
from foresight.envs.registry import EnvConfig
from foresight.evaluation.results import make_result
from foresight.rollout.collect import collect, plan_episodes
from foresight.rollout.episode import EpisodeSpec

BEHAVIOUR = "eps:0.3:expert"
GIB = 2**30


@dataclass(frozen=True)
class CollectionConfig:
    """Measure collecting: its speed beside dm_control's own rendering, and its memory."""

    task: str = "reacher-easy"
    """Task to collect."""
    size: int = 224
    """Frame size in pixels."""
    workers: int = os.cpu_count() or 1
    """Processes that collect; all cores by default."""
    rounds: int = 3
    """Turns of each side of the speed comparison."""
    episodes: int = 40
    """Episodes of one of our turns."""
    frames: int = 200
    """Frames of one of dm_control's turns."""
    memory_episodes: int = 500
    """Episodes of the run that watches memory; 0 leaves it out."""
    out: Path = Path("results/collection-speed.json")
    """Result file."""


def main(options: CollectionConfig) -> None:
    """Run the benchmark and write its result."""
    rows = measure_speed(options)
    if options.memory_episodes:
        rows += measure_memory(options)
    config = {**asdict(options), "behaviour": BEHAVIOUR, "cores": os.cpu_count()}
    result = make_result("collection-speed", config, "seed200", rows)
    result.save(options.out)
    for key, interval in result.summary.items():
        print(f"{key:45} {interval['mean']:9.2f}  [{interval['low']:.2f}, {interval['high']:.2f}]")
    print(f"written to {options.out}")


def measure_speed(options: CollectionConfig) -> list[dict[str, Any]]:
    """Frames per second of both sides in turns, and their ratio."""
    rows = []
    dm_control_loop = DMControlLoop(options)
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            theirs = dm_control_loop.frames_per_second(options.frames)
            ours = our_speed(options, Path(folder) / str(turn))
            rows += [
                row(options, "frames-per-second", theirs, condition="dm_control", turn=turn),
                row(options, "frames-per-second", ours, condition="foresight", turn=turn),
                row(options, "ratio-to-dm-control", ours / theirs, turn=turn),
            ]
    return rows


def our_speed(options: CollectionConfig, folder: Path) -> float:
    """Frames per second of one whole collection, from no process to a finished folder."""
    begin = time.perf_counter()
    store = collect(folder, plan(options, options.episodes), options.workers)
    return sum(store.lengths) / (time.perf_counter() - begin)


class DMControlLoop:
    """dm_control as its own documentation uses it."""

    def __init__(self, options: CollectionConfig) -> None:
        choose_gl()  # before MuJoCo is imported
        from dm_control import suite

        self._size = options.size
        self._env = suite.load(*resolve(options.task), task_kwargs={"random": 0})
        self._random = np.random.default_rng(0)
        self.frames_per_second(5)  # make the contexts, warm the caches

    def frames_per_second(self, frames: int) -> float:
        """Step and render ``frames`` times."""
        spec = self._env.action_spec()
        self._env.reset()
        begin = time.perf_counter()
        for _ in range(frames):
            self._env.step(self._random.uniform(spec.minimum, spec.maximum))
            self._env.physics.render(self._size, self._size, camera_id=0)
        return frames / (time.perf_counter() - begin)


def measure_memory(options: CollectionConfig) -> list[dict[str, Any]]:
    """Peak memory of the collecting processes, and the disk space, of a long collection."""
    with tempfile.TemporaryDirectory() as folder, TreeMemory() as memory:
        # In a process of its own, without what the other benchmarks have imported here.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            speed = pool.submit(long_speed, options, Path(folder)).result()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    episodes = options.memory_episodes
    return [
        row(options, "peak-gib", memory.peak / GIB, episodes=episodes),
        row(options, "long-run-frames-per-second", speed, episodes=episodes),
        row(options, "disk-gib", size / GIB, episodes=episodes),
    ]


def long_speed(options: CollectionConfig, folder: Path) -> float:
    """Frames per second of the long collection."""
    begin = time.perf_counter()
    store = collect(folder, plan(options, options.memory_episodes), options.workers)
    return sum(store.lengths) / (time.perf_counter() - begin)


class TreeMemory:
    """Watches the resident memory of all processes below this one.

    Pages that several processes share are counted for each of them, so the truth is lower.
    """

    def __init__(self, interval: float = 0.1) -> None:
        self.peak = 0
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TreeMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        root = psutil.Process()
        while not self._over.wait(self._interval):
            total = 0
            for process in root.children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)


def plan(options: CollectionConfig, episodes: int) -> list[EpisodeSpec]:
    """Episodes on training seeds."""
    env = EnvConfig(options.task, size=options.size, quality="fast")
    return plan_episodes(env, episodes, (BEHAVIOUR,), 10_000)


def row(options: CollectionConfig, measure: str, value: float, **more: Any) -> dict[str, Any]:
    """One measurement, told at once: a long run shows how it goes."""
    print(f"{measure} {more.get('condition', '')}: {value:.2f}", flush=True)
    return {"measure": measure, "value": value, "task": options.task, **more}
