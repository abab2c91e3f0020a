"""How much of memcpy's bandwidth shuffled 16-step windows of a large feature cache reach.

Makes a temporary feature cache of more than 2 GiB, warms the page cache, then reads the same volume
in two ways, with the same number of threads, a few batches of each in turn:

- copying the cache in order, piece by piece, into one reused buffer;
- the loader's shuffled windows, in its two reused buffers.

    foresight bench loader            # writes results/window-loader.json
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foresight.core.progress import track
from foresight.data.cache import FeatureCache
from foresight.data.windows import WindowLoader
from foresight.evaluation.results import make_result

GIB = 2**30


@dataclass(frozen=True)
class LoaderConfig:
    """Measure the window loader against memcpy."""

    episodes: int = 2800
    """Episodes of the cache."""
    length: int = 200
    """Steps of each."""
    dim: int = 1024
    """Numbers of a step's feature."""
    window: int = 16
    """Steps of a window."""
    batch: int = 256
    """Windows of a batch."""
    rounds: int = 9
    """Turns of both sides that count."""
    turn: int = 8
    """Batches read before it is the other side's turn."""
    threads: int = 0
    """Threads of both sides; 0 takes torch's default."""
    out: Path = Path("results/window-loader.json")
    """Result file."""


def make_cache(root: Path, config: LoaderConfig) -> FeatureCache:
    cache = FeatureCache.open_or_create(
        root, "benchmark", "random", "none", [config.length] * config.episodes, (config.dim,)
    )
    values = np.random.default_rng(0).standard_normal((config.length, config.dim), np.float32)
    for episode in track(range(config.episodes), "make the cache"):
        cache.write_episode(episode, values)
    return cache


def measure(cache: FeatureCache, config: LoaderConfig) -> list[dict[str, object]]:
    loader = WindowLoader(
        {"feature": cache.array},
        cache.offsets,
        range(config.episodes),
        window=config.window,
        batch=config.batch,
    )
    source = loader.arrays["feature"]
    chunks = source.split(config.window * config.batch)[:-1]  # whole ones, each as large as a batch
    buffer = torch.empty_like(chunks[0])
    batches = iter(loader)
    rows: list[dict[str, object]] = []
    for round_index in range(config.rounds + 1):
        memcpy = windows = 0.0
        # A few of one, a few of the other: what else the machine does meets both alike.
        for first in range(0, len(chunks), config.turn):
            turn = chunks[first : first + config.turn]
            start = time.perf_counter()
            for chunk in turn:
                buffer.copy_(chunk)
            middle = time.perf_counter()
            for _ in turn:
                assert next(batches)["feature"].nbytes == buffer.nbytes
            windows += time.perf_counter() - middle
            memcpy += middle - start
        if round_index == 0:
            continue  # warms the page cache, the page tables and the buffers
        volume = len(chunks) * buffer.nbytes / GIB
        for name, value in (
            ("share-of-memcpy", memcpy / windows),
            ("memcpy-gib-per-second", volume / memcpy),
            ("loader-gib-per-second", volume / windows),
        ):
            task = f"window-{config.window}"
            rows.append({"measure": name, "task": task, "value": value, "round": round_index})
    return rows


def main(config: LoaderConfig) -> None:
    if config.threads:
        torch.set_num_threads(config.threads)
    with tempfile.TemporaryDirectory(prefix="window-loader-", ignore_cleanup_errors=True) as root:
        cache = make_cache(Path(root), config)
        size = cache.array.nbytes / GIB
        rows = measure(cache, config)
        del cache  # the memory map, before its file goes
    settings = {
        **{k: str(v) if isinstance(v, Path) else v for k, v in vars(config).items()},
        "torch_threads": torch.get_num_threads(),
        "cache_gib": size,
    }
    result = make_result("window-loader", settings, "none", rows)
    result.save(config.out)
    for key, entry in result.summary.items():
        print(f"{key}: {entry['mean']:.2f} ({entry['low']:.2f} to {entry['high']:.2f})")
