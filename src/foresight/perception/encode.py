"""A dataset's frames to cached features, once for each episode and camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import track
from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.perception.encoder import Encoder
from foresight.perception.preprocess import Shift
from foresight.perception.readout import Readout
from foresight.perception.stream import FeatureStream

Prepare = Callable[[UInt8[np.ndarray, "t h w 3"]], UInt8[np.ndarray, "t s s 3"]]

READ_BYTES = 2**29
"""Frames that are decoded at once: the rest of a longer episode follows piece by piece."""


def encode_dataset(
    dataset: Dataset,
    encoder: Encoder,
    readout: Readout,
    cache_root: Path | str,
    camera: str | None = None,
    episodes: Sequence[int] | None = None,
    dtype: str = "float32",
    shift: Shift | None = None,
) -> FeatureCache:
    """Encode every episode of one camera that the cache does not hold yet.

    Features are the same to the last bit as those of `FeatureStream` on the same frames, live or
    as a whole.

    Args:
        dataset: the episodes, of any lengths, frames of any size.
        encoder: the frozen encoder.
        readout: how its tokens become features.
        cache_root: folder of all caches.
        camera: its name; the dataset's first one if not given.
        episodes: the ones that are needed; all if None. Others stay as they are in the cache.
        dtype: of the cache; ``float16`` takes half of the disk.
        shift: encode a shifted copy, which has a cache of its own.

    Returns:
        The cache of features ``[N, F]``, complete but for episodes not asked for.

    Raises:
        ForesightError: no such camera, the dataset is empty or damaged, the disk is full. Episodes
            finished before it stay.
    """
    camera = chosen_cameras(dataset, None if camera is None else [camera])[0]
    height, width = dataset.spec.cameras[camera]
    stream = FeatureStream(encoder, readout)
    stream.expect_size(height, width)
    preparation = stream.prepare.fingerprint(height, width)
    cache = FeatureCache.open_or_create(
        cache_root,
        dataset.fingerprint,
        encoder.fingerprint,
        readout.fingerprint,
        dataset.lengths,
        (stream.dim,),
        dtype,
        camera=camera,
        preparation=preparation if shift is None else fingerprint([preparation, asdict(shift)]),
    )
    done = cache.done
    wanted = range(len(done)) if episodes is None else episodes
    missing = [int(index) for index in wanted if not done[index]]
    pieces = _pieces(dataset.lengths, missing, height * width * 3, stream.reach)
    label = f"encode with {encoder.name}" + (f", {camera}" if len(dataset.spec.cameras) > 1 else "")
    parts: list[np.ndarray] = []
    for piece, frames in track(
        _read_ahead(dataset, camera, stream, pieces, shift), label, len(pieces)
    ):
        parts.append(stream.episode(frames)[piece.start - piece.first :])
        if piece.last:
            cache.write_episode(piece.episode, np.concatenate(parts))
            parts = []
    return cache


def encode_cameras(
    dataset: Dataset,
    encoder: Encoder,
    readout: Readout,
    cache_root: Path | str,
    cameras: Sequence[str] | None = None,
    episodes: Sequence[int] | None = None,
    dtype: str = "float32",
    shift: Shift | None = None,
) -> dict[str, FeatureCache]:
    """`encode_dataset` for several cameras, each with a cache of its own.

    Args:
        dataset: the episodes.
        encoder: the frozen encoder.
        readout: how its tokens become features.
        cache_root: folder of all caches.
        cameras: their names; all of the dataset if not given.
        episodes: as in `encode_dataset`.
        dtype: of the caches.
        shift: encode shifted copies.

    Returns:
        Camera name to cache, in the order of ``cameras``.

    Raises:
        ForesightError: as `encode_dataset`; names are checked before anything is encoded.
    """
    return {
        camera: encode_dataset(
            dataset, encoder, readout, cache_root, camera, episodes, dtype, shift
        )
        for camera in chosen_cameras(dataset, cameras, everything=True)
    }


def chosen_cameras(
    dataset: Dataset, names: Sequence[str] | None, everything: bool = False
) -> list[str]:
    """The cameras that are meant: those named, else the first, or all of them.

    Raises:
        ForesightError: the dataset has no camera, or none of such a name.
    """
    known = list(dataset.spec.cameras)
    if not known:
        raise ForesightError(f"{dataset.path} has no frames: choose a dataset with a camera.")
    for name in names or ():
        if name not in known:
            raise ForesightError(
                f"{dataset.path} has no camera {name!r}: choose one of {', '.join(known)}."
            )
    return list(names or (known if everything else known[:1]))


def prepared_frames(
    dataset: Dataset, episode: int, camera: str, prepare: Prepare
) -> UInt8[np.ndarray, "t s s 3"]:
    """All frames of an episode, prepared; of the frames as recorded only a piece is held at once.

    Raises:
        ForesightError: as `Dataset.frames`.
    """
    height, width = dataset.spec.cameras[camera]
    steps = dataset.lengths[episode]
    most = max(1, READ_BYTES // (3 * height * width))
    return np.concatenate(
        [
            prepare(dataset.frames(episode, camera, start, min(start + most, steps)))
            for start in range(0, steps, most)
        ]
    )


@dataclass(frozen=True)
class _Piece:
    """Steps ``start`` to ``stop`` of an episode; frames before them, from ``first`` on, are their
    past.
    """

    episode: int
    first: int
    start: int
    stop: int
    last: bool


def _pieces(
    lengths: Sequence[int], episodes: Sequence[int], frame_bytes: int, reach: int
) -> list[_Piece]:
    """Whole episodes, and long ones in parts, in order."""
    most = max(1, READ_BYTES // frame_bytes)
    return [
        _Piece(i, max(0, start - reach), start, stop := min(start + most, n), stop == n)
        for i in episodes
        for n in [lengths[i]]
        for start in range(0, n, most)
    ]


def _read_ahead(
    dataset: Dataset,
    camera: str,
    stream: FeatureStream,
    pieces: list[_Piece],
    shift: Shift | None,
) -> Iterator[tuple[_Piece, UInt8[np.ndarray, "t s s 3"]]]:
    """Prepared frames of each piece, decoded while the one before is encoded."""

    def read(piece: _Piece) -> np.ndarray:
        frames = stream.prepare(dataset.frames(piece.episode, camera, piece.first, piece.stop))
        return frames if shift is None else shift(frames, piece.episode)

    if not pieces:
        return
    with ThreadPoolExecutor(max_workers=1) as reader:
        pending = reader.submit(read, pieces[0])
        for piece, following in zip(pieces, [*pieces[1:], None], strict=True):
            frames = pending.result()
            if following is not None:
                pending = reader.submit(read, following)
            yield piece, frames
