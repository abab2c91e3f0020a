"""What the columns and videos of a dataset are, read from ``meta/info.json``.

Nothing but a frame rate and an action is expected of a dataset. Cameras, state, rewards and all
other columns are what its ``features`` say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from foresight.core.errors import ForesightError
from foresight.core.observation import IMAGE_PREFIX, STATE_KEY
from foresight.core.spec import Axis, Spec, numbered_axes
from foresight.data.layout import CHUNKS_SIZE, DATA_PATH, VIDEO_PATH

ACTION = "action"
REWARD = "next.reward"
PICTURES = ("video", "image")
PLACES = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""Columns that follow from an episode's place, with their types."""
OUTCOME = ("next.reward", "next.done", "next.success", "next.terminated")
SCALARS = (*PLACES, *OUTCOME)
"""Columns of one number a step that are read as ``[N]``, not ``[N, 1]``."""
LOSSLESS = "lossless"
CODECS: dict[str, tuple[str, str]] = {
    LOSSLESS: ("h264", "gbrp"),
    "h264": ("h264", "yuv420p"),
    "av1": ("av1", "yuv420p"),
}
"""How frames can be written: name to codec and pixel format as ``info.json`` tells them."""


@dataclass(frozen=True)
class Feature:
    """One column or camera.

    Attributes:
        name: its key on disk.
        dtype: ``video``, ``image``, ``string`` or numpy's name.
        shape: of one step; (height, width, channels) for pictures.
        names: of the numbers of a vector, where they were given.
        scalar: one number a step, read without an axis of its own.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None
    scalar: bool = False

    @property
    def picture(self) -> bool:
        """Whether it is a camera."""
        return self.dtype in PICTURES

    @property
    def size(self) -> int:
        """Numbers in one step."""
        return math.prod(self.shape)

    @property
    def step_shape(self) -> tuple[int, ...]:
        """Shape of one step as it is read: () for a scalar."""
        return () if self.scalar else self.shape or (1,)

    def arrow(self) -> pa.DataType:
        """Type of the column. One number is a plain column: LeRobot fails on a list of one."""
        kind = pa.from_numpy_dtype(np.dtype(self.dtype))
        if self.size == 1 and len(self.shape) <= 1:
            return kind
        if len(self.shape) == 1:
            return pa.list_(kind, self.shape[0])
        for _ in self.shape:
            kind = pa.list_(kind)
        return kind

    def axis_names(self) -> list[str]:
        """A name for each number of a vector."""
        return list(self.names) if self.names else [f"{self.name}_{i}" for i in range(self.size)]

    def to_info(self, rate: float, codec: str | None) -> dict[str, Any]:
        """Its entry in ``info.json``."""
        names = None if self.names is None else list(self.names)
        found: dict[str, Any] = {"dtype": self.dtype, "shape": list(self.shape), "names": names}
        if self.dtype == "video":
            kind, pixels = CODECS[codec or LOSSLESS]
            found["info"] = {
                "video.height": self.shape[0],
                "video.width": self.shape[1],
                "video.codec": kind,
                "video.pix_fmt": pixels,
                "video.is_depth_map": False,
                "video.fps": rate,
                "video.channels": 3,
                "has_audio": False,
            }
        return found


@dataclass(frozen=True)
class Schema:
    """What is equal for all episodes of a dataset.

    Attributes:
        features: name to feature, in the order on disk.
        rate: frames per second on disk; times are multiples of its inverse.
        spec: cameras, state, action and the exact rate.
        version: of the format.
        codec: how frames are written, for a dataset of ours; None for another program's.
        info: what else ``info.json`` holds.
    """

    features: Mapping[str, Feature]
    rate: float
    spec: Spec
    version: str = "v3.0"
    codec: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def own(self) -> bool:
        """Whether this package made the dataset."""
        return self.codec is not None

    @property
    def cameras(self) -> dict[str, str]:
        """Camera name to its key on disk."""
        return {camera_name(f.name): f.name for f in self.features.values() if f.picture}

    def columns(self) -> dict[str, Feature]:
        """The features with a column of numbers or words."""
        return {name: f for name, f in self.features.items() if not f.picture}

    def arrow(self) -> pa.Schema:
        """The Arrow schema of data files that we write."""
        return pa.schema([pa.field(name, f.arrow()) for name, f in self.columns().items()])

    def to_info(self, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
        """``meta/info.json``; what LeRobot has no place for stands under ``foresight``."""
        video = any(f.dtype == "video" for f in self.features.values())
        return {
            "codebase_version": self.version,
            "robot_type": None,
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": tasks,
            "chunks_size": CHUNKS_SIZE,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 500,
            "fps": self.rate,
            "splits": {"train": f"0:{episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if video else None,
            "features": {n: f.to_info(self.rate, self.codec) for n, f in self.features.items()},
            "foresight": self.own_part(),
        }

    def own_part(self) -> dict[str, Any]:
        """What only this package knows of a dataset."""
        scalars = [n for n, f in self.features.items() if f.scalar and n not in SCALARS]
        return {"spec": self.spec.to_json(), "codec": self.codec, "scalars": scalars}

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which :meth:`from_info` makes the schema again."""
        return self.to_info(0, 0, 0)

    @classmethod
    def from_info(cls, info: Any, path: Path | str) -> Schema:
        """Read ``meta/info.json`` of any program.

        Raises:
            ForesightError: it is of another version or describes no dataset.
        """
        try:
            version = str(info["codebase_version"])
            rate, raw = float(info["fps"]), dict(info["features"])
            own = info.get("foresight") or {}
            features = {
                str(name): _feature(str(name), value, tuple(own.get("scalars", ())))
                for name, value in raw.items()
            }
            given = Spec.from_json(own["spec"]) if "spec" in own else None
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ForesightError(
                f"{path} does not describe a dataset ({type(error).__name__}: {error}): expected "
                "LeRobot's codebase_version, fps and features."
            ) from error
        if not version.startswith(("v3.", "v2.0", "v2.1")):
            raise ForesightError(
                f"{path} has codebase_version {version!r} but v3.0, v2.1 or v2.0 is expected: "
                "convert the dataset with LeRobot first."
            )
        if ACTION not in features or features[ACTION].picture:
            raise ForesightError(
                f"{path} has no feature 'action' among {', '.join(features)}: an experience "
                "without actions cannot be used here."
            )
        spec = _spec(features, rate, given)
        whole = int(rate) if rate.is_integer() else rate
        rest = {k: v for k, v in info.items() if k not in ("features", "foresight")}
        return cls(features, whole, spec, version, own.get("codec"), rest)


def camera_name(key: str) -> str:
    """``front`` for ``observation.images.front``; a key of another form is shortened or kept."""
    for prefix in (IMAGE_PREFIX, "observation."):
        if key.startswith(prefix) and len(key) > len(prefix):
            return key[len(prefix) :]
    return key


def own_schema(spec: Spec, columns: Mapping[str, np.ndarray], codec: str) -> Schema:
    """The schema of a dataset of ours.

    Args:
        spec: cameras, state, action and rate.
        columns: the arrays of one episode, from which types and shapes are taken.
        codec: one of ``CODECS``.
    """
    features: dict[str, Feature] = {}
    for name, array in columns.items():
        names = {ACTION: spec.action, STATE_KEY: spec.state}.get(name)
        features[name] = Feature(
            name,
            array.dtype.name,
            array.shape[1:] or (1,),
            None if names is None else tuple(axis.name for axis in names),
            scalar=array.ndim == 1,
        )
    for name, dtype in PLACES.items():
        features[name] = Feature(name, dtype, (1,), scalar=True)
    for camera, (height, width) in spec.cameras.items():
        key = IMAGE_PREFIX + camera
        features[key] = Feature(key, "video", (height, width, 3), ("height", "width", "channels"))
    bare = Spec(dict(spec.cameras), spec.state, spec.action, spec.fps)
    return Schema(features, max(1, round(spec.fps)), bare, codec=codec)


def _feature(name: str, raw: Mapping[str, Any], scalars: tuple[str, ...]) -> Feature:
    dtype, shape = str(raw["dtype"]), tuple(int(n) for n in raw.get("shape") or ())
    if dtype in PICTURES:
        shape = _picture_shape(name, shape, raw.get("names"))
        return Feature(name, dtype, shape, ("height", "width", "channels"))
    if dtype != "string":
        np.dtype(dtype)  # a TypeError names what is no type
    names = _names(raw.get("names"), math.prod(shape))
    scalar = shape in ((), (1,)) and (name in SCALARS or name in scalars or dtype == "string")
    return Feature(name, dtype, shape or (1,), names, scalar)


def _picture_shape(name: str, shape: tuple[int, ...], names: Any) -> tuple[int, ...]:
    """(height, width, channels), whichever way round the writer put it."""
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise ValueError(f"camera {name} has shape {list(shape)}")
    first = str(names[0]).lower() if isinstance(names, list | tuple) and names else ""
    if first.startswith("channel") or (not first and shape[0] in (1, 3) and shape[2] > 4):
        return (shape[1], shape[2], shape[0])
    return shape


def _names(raw: Any, count: int) -> tuple[str, ...] | None:
    """Names of a vector's numbers: a list, a dict with one list, or name to place."""
    if isinstance(raw, Mapping):
        values = list(raw.values())
        if len(values) == 1 and isinstance(values[0], list | tuple):
            raw = values[0]
        elif values and all(isinstance(value, int) for value in values):
            raw = sorted(raw, key=raw.__getitem__)
    if not isinstance(raw, list | tuple) or len(raw) != count:
        return None
    return tuple(map(str, raw)) if all(str(name) for name in raw) else None


def _spec(features: Mapping[str, Feature], rate: float, given: Spec | None) -> Spec:
    """Cameras and axes as the features say; units, bounds and the exact rate as we noted them."""
    cameras = {
        camera_name(f.name): (f.shape[0], f.shape[1]) for f in features.values() if f.picture
    }
    state = _axes("state", features.get(STATE_KEY), () if given is None else given.state)
    action = _axes("action", features[ACTION], () if given is None else given.action)
    return Spec(cameras, state, action, rate if given is None else given.fps)


def _axes(prefix: str, feature: Feature | None, given: tuple[Axis, ...]) -> tuple[Axis, ...]:
    if feature is None or feature.dtype == "string":
        return ()
    if len(given) == feature.size:
        return given
    if feature.names is None:
        return numbered_axes(prefix, feature.size)
    return tuple(Axis(name) for name in feature.names)
