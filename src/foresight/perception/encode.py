"""A dataset's frames to cached features, once per episode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from foresight.core.progress import track
from foresight.data.cache import FeatureCache
from foresight.data.store import EpisodeStore
from foresight.perception.encoder import Encoder
from foresight.perception.readout import Readout
from foresight.perception.stream import FeatureStream


def encode_dataset(
    store: EpisodeStore,
    encoder: Encoder,
    readout: Readout,
    cache_root: Path | str,
    episodes: Sequence[int] | None = None,
) -> FeatureCache:
    """Encode every episode that the cache does not hold yet.

    Args:
        store: the episodes.
        encoder: the frozen encoder.
        readout: how its tokens become features.
        cache_root: folder of all caches.
        episodes: the ones that are needed; all if None. Others stay as they are in the cache.

    Returns:
        The cache of float32 features ``[N, F]``, complete but for episodes not asked for.

    Raises:
        ForesightError: frames do not fit the encoder, the dataset is empty or damaged, the disk
            is full. Episodes finished before it stay.
    """
    stream = FeatureStream(encoder, readout)
    cache = FeatureCache.open_or_create(
        cache_root,
        store.fingerprint,
        encoder.fingerprint,
        readout.fingerprint,
        store.lengths,
        (stream.dim,),
    )
    done = cache.done
    wanted = range(len(done)) if episodes is None else episodes
    missing = [int(index) for index in wanted if not done[index]]
    read = track(_read_ahead(store, missing), f"encode with {encoder.name}", len(missing))
    for index, frames in read:
        cache.write_episode(index, stream.episode(frames))
    return cache


def _read_ahead(store: EpisodeStore, indices: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Frames of the episodes, each decoded while the one before is encoded."""
    if not indices:
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        pending = [(i, reader.submit(store.frames, i)) for i in indices[:1]]
        for following in [*indices[1:], None]:
            index, frames = pending.pop()
            ready = frames.result()
            if following is not None:
                pending.append((following, reader.submit(store.frames, following)))
            yield index, ready
