"""What a dataset folder holds: paths, features and the description of one episode.

The layout is LeRobotDataset v3.0. Every episode has its own data file and its own video file,
which that format allows (1000 files in a chunk folder), so that appending touches no old file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from foresight.core.errors import ForesightError

CODEBASE_VERSION = "v3.0"
CHUNKS_SIZE = 1000
VIDEO_KEY = "observation.images.camera"
FILE_NAME = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE_NAME}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE_NAME}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"

SUCCESS_FRACTION = 0.75
"""An episode succeeds when its return passes this share of its control steps (150 of 200)."""


@dataclass(frozen=True)
class Schema:
    """Everything that is equal for all episodes of a dataset.

    Attributes:
        control_timestep: seconds between two stored observations.
        action: number of action values A.
        proprio: number of proprioception values P.
        state: number of simulator state values S.
        image: (height, width) of the frames, None for a dataset without frames.
        render: render settings as plain values, None without frames.
    """

    control_timestep: float
    action: int
    proprio: int
    state: int
    image: tuple[int, int] | None
    render: dict[str, Any] | None

    @property
    def fps(self) -> int:
        """Frames per second, the nearest whole number: LeRobot readers want an integer."""
        return fps_of(self.control_timestep)

    def features(self) -> dict[str, dict[str, Any]]:
        """The ``features`` table of ``meta/info.json``."""
        found = {
            "action": _feature("float32", self.action),
            "observation.state": _feature("float32", self.proprio),
            "sim.state": _feature("float64", self.state),
            "next.reward": _feature("float32"),
            "next.done": _feature("bool"),
            "next.success": _feature("bool"),
            "timestamp": _feature("float32"),
            "frame_index": _feature("int64"),
            "episode_index": _feature("int64"),
            "index": _feature("int64"),
            "task_index": _feature("int64"),
        }
        if self.image is not None:
            height, width = self.image
            found[VIDEO_KEY] = {
                "dtype": "video",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": height,
                    "video.width": width,
                    "video.codec": "h264",
                    "video.pix_fmt": "gbrp",
                    "video.is_depth_map": False,
                    "video.fps": self.fps,
                    "video.channels": 3,
                    "has_audio": False,
                },
            }
        return found

    def numeric_features(self) -> dict[str, dict[str, Any]]:
        """The features that are columns of the data files."""
        return {name: f for name, f in self.features().items() if f["dtype"] != "video"}

    def data_schema(self) -> pa.Schema:
        """The Arrow schema of the data files.

        A feature of shape [1] is a plain column and a longer one a fixed-size list: LeRobot's
        own reader casts them so and fails on a list of one.
        """
        fields = []
        for name, feature in self.numeric_features().items():
            width = feature["shape"][0]
            kind = _ARROW[feature["dtype"]]
            fields.append(pa.field(name, kind if width == 1 else pa.list_(kind, width)))
        return pa.schema(fields)

    def info(self, episodes: int, frames: int, tasks: int) -> dict[str, Any]:
        """``meta/info.json``; what LeRobot has no place for stands under ``foresight``."""
        return {
            "codebase_version": CODEBASE_VERSION,
            "robot_type": None,
            "total_episodes": episodes,
            "total_frames": frames,
            "total_tasks": tasks,
            "chunks_size": CHUNKS_SIZE,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 500,
            "fps": self.fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self.image is not None else None,
            "features": self.features(),
            "foresight": {
                "control_timestep": self.control_timestep,
                "render": self.render,
                "success": f"return so far > {SUCCESS_FRACTION} * control steps of the episode",
            },
        }

    @staticmethod
    def from_info(info: Any, path: Path) -> Schema:
        """Read the schema back from ``info.json``.

        Raises:
            ForesightError: the file describes no dataset of this package.
        """
        try:
            version = info["codebase_version"]
            if version != CODEBASE_VERSION:
                raise ForesightError(
                    f"{path} has codebase_version {version!r} but {CODEBASE_VERSION!r} is "
                    "expected: convert it with LeRobot first."
                )
            features, own = info["features"], info["foresight"]
            video = features.get(VIDEO_KEY)
            return Schema(
                control_timestep=float(own["control_timestep"]),
                action=int(features["action"]["shape"][0]),
                proprio=int(features["observation.state"]["shape"][0]),
                state=int(features["sim.state"]["shape"][0]),
                image=(int(video["shape"][0]), int(video["shape"][1])) if video else None,
                render=own["render"],
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ForesightError(
                f"{path} lacks {error}, which every Foresight dataset records: it is damaged "
                "(run `foresight data repair`) or was written by another program."
            ) from error


@dataclass(frozen=True)
class EpisodeMeta:
    """One episode without its arrays.

    Attributes:
        index: place in the dataset, from 0.
        length: number of steps T.
        start: number of steps before this episode (``dataset_from_index``).
        task: task id. seed: environment seed. behaviour, protocol: as in the episode's spec.
        steps: the spec's own step limit, None for the protocol's.
        return_: sum of rewards.
        success: whether the return passed ``SUCCESS_FRACTION`` of the control steps.
        spec_hash: hash of the whole spec.
        data_hash, video_hash: hashes of the arrays and of the video file's bytes.
        data_file, video_file: running number of its files (video None without frames).
    """

    index: int
    length: int
    start: int
    task: str
    seed: int
    behaviour: str
    protocol: str
    steps: int | None
    return_: float
    success: bool
    spec_hash: str
    data_hash: str
    video_hash: str | None
    data_file: int
    video_file: int | None


def fps_of(control_timestep: float) -> int:
    """Whole frames per second for a time step in seconds.

    Raises:
        ForesightError: the time step is not a positive finite number.
    """
    if not 0.0 < control_timestep < float("inf"):
        raise ForesightError(
            f"The control time step is {control_timestep} but a positive number of seconds is "
            "expected: pass the one of the environment."
        )
    return max(1, round(1.0 / control_timestep))


def data_path(root: Path, number: int) -> Path:
    """Data file with a running number."""
    return root / DATA_PATH.format(**_place(number))


def video_path(root: Path, number: int) -> Path:
    """Video file with a running number."""
    return root / VIDEO_PATH.format(video_key=VIDEO_KEY, **_place(number))


def numbered_files(root: Path, kind: str) -> dict[int, Path]:
    """Running number to path of all files of a kind (``data`` or ``video``), in order."""
    folder, suffix = (root / "data", "parquet") if kind == "data" else (_videos(root), "mp4")
    found = {}
    for path in folder.glob(f"chunk-*/file-*.{suffix}"):
        chunk, number = path.parent.name[6:], path.stem[5:]
        if chunk.isdigit() and number.isdigit():
            found[int(chunk) * CHUNKS_SIZE + int(number)] = path
    return dict(sorted(found.items()))


def temporary_files(root: Path) -> list[Path]:
    """What killed writers left half written (see ``foresight.core.files.atomic_write``)."""
    folders = ("data/*", f"videos/{VIDEO_KEY}/*", "meta", "meta/episodes/*")
    return sorted(path for folder in folders for path in root.glob(f"{folder}/.*.tmp"))


def place(number: int) -> tuple[int, int]:
    """Chunk and file index of a running number."""
    return divmod(number, CHUNKS_SIZE)


_ARROW = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
}


def _feature(dtype: str, width: int = 1) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [width], "names": None}


def _place(number: int) -> dict[str, int]:
    chunk, file = place(number)
    return {"chunk_index": chunk, "file_index": file}


def _videos(root: Path) -> Path:
    return root / "videos" / VIDEO_KEY
