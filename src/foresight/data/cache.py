"""Feature cache: per-step features, written once per episode, read many times as a memory map.

A cache is a folder ``<root>/<key>``, the key a hash of dataset, camera, encoder, readout and the
rule that made the camera's pictures fit the encoder:

- ``manifest.json``: these fingerprints and names, episode lengths, feature shape and dtype; its
  presence says that the other two files were made in full.
- ``features.bin``: raw features of all episodes one after another, allocated at once, so that a
  full disk shows before the first hour of encoding and not after.
- ``done.bin``: one byte per episode, set after that episode's features are safely on the disk.

A killed writer loses the episode it was at and no other, and the finished file is the same as
that of an undisturbed run. All steps of creation can be repeated by several processes at once.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from foresight.core.errors import ForesightError
from foresight.core.files import (
    disk_errors,
    fingerprint,
    read_json,
    remove_abandoned,
    write_json,
)

VERSION = 2
MANIFEST, FEATURES, DONE = "manifest.json", "features.bin", "done.bin"


@dataclass(frozen=True)
class Manifest:
    """What a cache holds.

    Attributes:
        dataset: fingerprint of the dataset.
        encoder: fingerprint of the encoder.
        readout: fingerprint of the readout.
        lengths: steps of each episode.
        feature_shape: shape of one step's feature.
        dtype: numpy name of the features' dtype.
        camera: whose pictures they are of.
        preparation: fingerprint of how pictures were brought to the encoder's size.
        version: layout of this folder.
    """

    dataset: str
    encoder: str
    readout: str
    lengths: tuple[int, ...]
    feature_shape: tuple[int, ...]
    dtype: str = "float32"
    camera: str = ""
    preparation: str = ""
    version: int = VERSION

    @property
    def key(self) -> str:
        """Name of the cache's folder."""
        made_of = (self.dataset, self.camera, self.encoder, self.readout, self.preparation)
        return fingerprint([self.version, *made_of, self.dtype])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape ``(N, *feature_shape)`` of the whole array."""
        return (sum(self.lengths), *self.feature_shape)

    @property
    def bytes(self) -> int:
        """Size of the whole array in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


class FeatureCache:
    """An opened cache; made by `open_or_create` or `open`.

    Attributes:
        path: its folder.
        manifest: what it holds.
        offsets: int64 ``[episodes + 1]``: rows ``offsets[i]:offsets[i + 1]`` are episode i.
        array: read-only memory map ``[N, *feature_shape]``; rows of episodes that are not done
            are zero or unfinished. It follows what `write_episode` writes.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self.offsets = np.concatenate(([0], np.cumsum(manifest.lengths, dtype=np.int64)))
        _check_size(path / FEATURES, manifest.bytes)
        _check_size(path / DONE, len(manifest.lengths))
        self.array: np.ndarray = np.memmap(
            path / FEATURES, dtype=manifest.dtype, mode="r", shape=manifest.shape
        )

    @classmethod
    def open_or_create(
        cls,
        root: Path | str,
        dataset_fingerprint: str,
        encoder_fingerprint: str,
        readout_fingerprint: str,
        lengths: Sequence[int],
        feature_shape: Sequence[int],
        dtype: str = "float32",
        camera: str = "",
        preparation: str = "",
    ) -> FeatureCache:
        """Open the cache of these, or make an empty one under ``root``.

        Args:
            root: folder of all caches.
            dataset_fingerprint: of the frames that were encoded.
            encoder_fingerprint: of the encoder that read them.
            readout_fingerprint: of the readout that pooled its tokens.
            lengths: steps of each episode.
            feature_shape: shape of one step's feature.
            dtype: numpy name, ``float32`` or ``float16``.
            camera: whose pictures they are of.
            preparation: fingerprint of how pictures were brought to the encoder's size.

        Raises:
            ForesightError: no episodes, a full disk, a folder that cannot be written, or a cache
                there that is damaged or belongs to something else.
        """
        manifest = Manifest(
            dataset_fingerprint,
            encoder_fingerprint,
            readout_fingerprint,
            tuple(int(n) for n in lengths),
            tuple(int(n) for n in feature_shape),
            np.dtype(dtype).name,
            camera,
            preparation,
        )
        if not manifest.lengths or min(manifest.lengths) < 1 or manifest.bytes == 0:
            raise ForesightError(
                f"A feature cache for {len(manifest.lengths)} episodes of features "
                f"{manifest.feature_shape} would be empty: collect episodes first."
            )
        path = Path(root) / manifest.key
        if not (path / MANIFEST).exists():
            _create(path, manifest)
        return cls._opened(path, manifest)

    @classmethod
    def open(
        cls,
        path: Path | str,
        dataset_fingerprint: str | None = None,
        encoder_fingerprint: str | None = None,
        readout_fingerprint: str | None = None,
    ) -> FeatureCache:
        """Open an existing cache folder; each fingerprint given must be the cache's own.

        Raises:
            ForesightError: there is none, it is damaged, or it is of something else.
        """
        path = Path(path)
        found = _read_manifest(path)
        wanted = {
            "dataset": dataset_fingerprint,
            "encoder": encoder_fingerprint,
            "readout": readout_fingerprint,
        }
        for what, value in wanted.items():
            if value is not None and value != getattr(found, what):
                raise _other(path, what, getattr(found, what), value)
        return cls(path, found)

    @classmethod
    def _opened(cls, path: Path, wanted: Manifest) -> FeatureCache:
        found = _read_manifest(path)
        for what, value in asdict(wanted).items():
            if getattr(found, what) != value:
                raise _other(path, what, getattr(found, what), value)
        return cls(path, found)

    @property
    def done(self) -> np.ndarray:
        """Bool ``[episodes]``: whose features are complete and safely on the disk."""
        return np.fromfile(self.path / DONE, dtype=np.uint8).astype(bool)

    @property
    def complete(self) -> bool:
        """Whether every episode is done."""
        return bool(self.done.all())

    def episode(self, i: int) -> Shaped[np.ndarray, "t ..."]:
        """The features of episode i, a view ``[T, *feature_shape]``."""
        return self.array[self.offsets[i] : self.offsets[i + 1]]

    def write_episode(self, i: int, array: Shaped[np.ndarray, "t ..."]) -> None:
        """Write an episode's features; when this returns they survive a power cut.

        Raises:
            ForesightError: no such episode, a wrong shape, values that are not finite, or the disk
                refuses.
        """
        episodes = len(self.manifest.lengths)
        if not 0 <= i < episodes:
            raise ForesightError(f"There is no episode {i}: the cache holds 0 to {episodes - 1}.")
        expected = (self.manifest.lengths[i], *self.manifest.feature_shape)
        if array.shape != expected:
            raise ForesightError(
                f"Features of shape {array.shape} do not fit episode {i}: expected {expected}."
            )
        with np.errstate(over="ignore"):  # refused below
            data = np.ascontiguousarray(array, dtype=self.manifest.dtype)
        if not np.isfinite(data).all():
            raise ForesightError(
                f"Features of episode {i} are not finite as {self.manifest.dtype}: check the "
                "encoder, nothing was written."
            )
        row = self.manifest.bytes // int(self.offsets[-1])
        _write_at(self.path / FEATURES, data.data.cast("B"), int(self.offsets[i]) * row)
        # Only now: a mark on the disk must never be ahead of what it vouches for.
        _write_at(self.path / DONE, memoryview(b"\x01"), i)


def _create(path: Path, manifest: Manifest) -> None:
    """Make the files of an empty cache; repeating it beside a writer changes nothing."""
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        _allocate(path / FEATURES, manifest.bytes)
        _allocate(path / DONE, len(manifest.lengths))
    write_json(path / MANIFEST, asdict(manifest))
    remove_abandoned(path / MANIFEST)


def _allocate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        if not (path.parent / MANIFEST).exists():
            path.unlink(missing_ok=True)  # give back what was taken
        free = shutil.disk_usage(path.parent).free
        raise ForesightError(
            f"The feature cache needs {size / 2**30:.2f} GiB and the disk of {path.parent} has "
            f"{free / 2**30:.2f} GiB free: free some space or choose another folder."
        ) from error
    finally:
        os.close(descriptor)


def _write_at(path: Path, data: memoryview, offset: int) -> None:
    with disk_errors(path):
        descriptor = os.open(path, os.O_WRONLY)
        try:
            while data:
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_manifest(path: Path) -> Manifest:
    values = read_json(path / MANIFEST)
    try:
        values["lengths"] = tuple(values["lengths"])
        values["feature_shape"] = tuple(values["feature_shape"])
        manifest = Manifest(**values)
        version = manifest.version
    except (TypeError, KeyError) as error:
        raise ForesightError(
            f"{path / MANIFEST} is not a feature cache's manifest: remove the folder and encode "
            "again."
        ) from error
    if version != VERSION:
        raise _other(path, "version", str(version), str(VERSION))
    return manifest


def _check_size(file: Path, size: int) -> None:
    found = file.stat().st_size if file.exists() else 0
    if found != size:
        raise ForesightError(
            f"{file} has {found} bytes, expected {size}: the cache is cut short or damaged, remove "
            f"the folder {file.parent} and encode again."
        )


def _other(path: Path, what: str, found: object, wanted: object) -> ForesightError:
    return ForesightError(
        f"The feature cache {path} was made with another {what} ({_short(found)}, expected "
        f"{_short(wanted)}): encode the dataset again or open the cache that belongs to it."
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
