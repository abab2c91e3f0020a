"""Datasets as other programs write them: LeRobot v3.0 with many episodes a file, and v2.1."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIZE = (24, 32)
RATE = 30
PLACES = {"frame_index", "episode_index", "index", "task_index"}


@dataclass
class Foreign:
    """What a dataset holds; every field can be changed before :meth:`write`.

    Attributes:
        numbers: episode_index of each episode.
        lengths: steps of each.
        columns: further or other columns, name to values of all steps.
        features: their entries in info.json.
    """

    numbers: list[int] = field(default_factory=lambda: [0, 1, 2])
    lengths: list[int] = field(default_factory=lambda: [7, 12, 9])
    cameras: tuple[str, ...] = ("front",)
    codec: str = "libx264"
    version: str = "v3.0"
    image: str | None = None
    stats: bool = False
    frozen: tuple[int, ...] = ()
    files: int = 1
    task_column: str = "__index_level_0__"
    columns: dict[str, Any] = field(default_factory=dict)
    features: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self.lengths)

    def frames(self, episode: int) -> np.ndarray:
        """A bar that grows from step to step over a ground that tells the episode."""
        length = self.lengths[episode]
        found = np.full((length, *SIZE, 3), 20 + 30 * episode, np.uint8)
        for step in range(length):
            shown = 0 if episode in self.frozen else step
            found[step, :8, : 2 * (shown + 1)] = 250
        return found

    def actions(self) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(self.rows, 2)).astype(np.float32)

    def table(self) -> dict[str, Any]:
        steps = np.concatenate([np.arange(n) for n in self.lengths])
        found: dict[str, Any] = {
            "action": self.actions(),
            "observation.state": np.cumsum(self.actions(), 0).astype(np.float32),
            "timestamp": (steps / RATE).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.repeat(self.numbers, self.lengths),
            "index": np.arange(self.rows),
            "task_index": np.repeat(np.arange(len(self.numbers)) % 2, self.lengths),
        }
        return found | self.columns

    def info(self) -> dict[str, Any]:
        scalar = {"shape": [1], "names": None}
        features: dict[str, Any] = {
            "action": {"dtype": "float32", "shape": [2], "names": {"motors": ["pan", "lift"]}},
            "observation.state": {"dtype": "float32", "shape": [2], "names": None},
            "timestamp": {"dtype": "float32", **scalar},
            **{name: {"dtype": "int64", **scalar} for name in sorted(PLACES)},
        }
        for camera in self.cameras:
            features[f"observation.images.{camera}"] = {
                "dtype": "image" if self.image else "video",
                "shape": [*SIZE, 3],
                "names": ["height", "width", "channels"],
            }
        legacy = self.version.startswith("v2")
        chunk = "chunk-{episode_chunk:03d}" if legacy else "chunk-{chunk_index:03d}"
        name = "episode_{episode_index:06d}" if legacy else "file-{file_index:03d}"
        video = f"videos/{chunk}/{{video_key}}" if legacy else f"videos/{{video_key}}/{chunk}"
        return {
            "codebase_version": self.version,
            "robot_type": "so101",
            "fps": RATE,
            "chunks_size": 1000,
            "total_episodes": len(self.numbers),
            "total_frames": self.rows,
            "data_path": f"data/{chunk}/{name}.parquet",
            "video_path": f"{video}/{name}.mp4",
            "features": features | self.features,
        }

    def write(self, root: Path) -> Path:
        """Write it as its version asks."""
        info = self.info()
        put(root / "meta/info.json", json.dumps(info))
        arrow = {name: column(values) for name, values in self.table().items()}
        table = pa.table(arrow)
        if self.image:
            pictures = np.concatenate([self.frames(i) for i in range(len(self.numbers))])
            for camera in self.cameras:
                cells = [{"bytes": encoded(p, self.image), "path": None} for p in pictures]
                table = table.append_column(f"observation.images.{camera}", pa.array(cells))
        if self.version.startswith("v2"):
            self._write_v2(root, info, table)
        else:
            self._write_v3(root, info, table)
        return root

    def _write_v2(self, root: Path, info: dict[str, Any], table: pa.Table) -> None:
        lines, start = [], 0
        for i, (number, length) in enumerate(zip(self.numbers, self.lengths, strict=True)):
            place = {"episode_chunk": number // 1000, "episode_index": number}
            path = root / info["data_path"].format(**place)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.slice(start, length), path)
            for camera in () if self.image else self.cameras:
                name = info["video_path"].format(video_key=f"observation.images.{camera}", **place)
                film(root / name, self.frames(i), self.codec)
            lines.append({"episode_index": number, "tasks": [TASKS[i % 2]], "length": length})
            start += length
        put(root / "meta/episodes.jsonl", "\n".join(map(json.dumps, lines)) + "\n")
        tasks = [{"task_index": i, "task": task} for i, task in enumerate(TASKS)]
        put(root / "meta/tasks.jsonl", "\n".join(map(json.dumps, tasks)) + "\n")

    def _write_v3(self, root: Path, info: dict[str, Any], table: pa.Table) -> None:
        groups = np.array_split(np.arange(len(self.numbers)), self.files)
        ends = np.cumsum([0, *self.lengths])
        rows = []
        for file, group in enumerate(groups):
            path = root / f"data/chunk-000/file-{file:03d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(path, table.schema) as writer:
                for i in group:
                    writer.write_table(table.slice(ends[i], self.lengths[i]))
            first = 0
            for camera in () if self.image else self.cameras:
                pictures = np.concatenate([self.frames(i) for i in group])
                # The videos' files are counted apart from those of the data.
                name = f"videos/observation.images.{camera}/chunk-000/file-{file + 5:03d}.mp4"
                film(root / name, pictures, self.codec)
            for i in group:
                rows.append(self._row(i, int(ends[i]), file, first))
                first += self.lengths[i]
        (root / "meta/episodes/chunk-000").mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet"
        )
        tasks = {"task_index": [0, 1], self.task_column: TASKS}
        pq.write_table(pa.table(tasks), root / "meta/tasks.parquet")
        if self.stats:
            put(root / "meta/stats.json", "{}")

    def _row(self, i: int, start: int, file: int, first: int) -> dict[str, Any]:
        row: dict[str, Any] = {
            "episode_index": self.numbers[i],
            "tasks": [TASKS[i % 2]],
            "length": self.lengths[i],
            "dataset_from_index": start,
            "dataset_to_index": start + self.lengths[i],
            "data/chunk_index": 0,
            "data/file_index": file,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for camera in () if self.image else self.cameras:
            prefix = f"videos/observation.images.{camera}"
            row |= {f"{prefix}/chunk_index": 0, f"{prefix}/file_index": file + 5}
            # Sums of rounded seconds, as a recorder makes them.
            row |= {f"{prefix}/from_timestamp": sum([1 / RATE] * first)}
            row |= {f"{prefix}/to_timestamp": sum([1 / RATE] * (first + self.lengths[i]))}
        if self.stats:
            actions = self.table()["action"][start : start + self.lengths[i]].astype(float)
            for name in ("min", "max", "mean", "std"):
                row[f"stats/action/{name}"] = getattr(actions, name)(0).tolist()
            row["stats/action/count"] = [self.lengths[i]]
        return row


TASKS = ["Pick.", "Place."]


def column(values: Any) -> pa.Array:
    """Fixed-size lists for vectors, plain columns for the rest."""
    if isinstance(values, pa.Array):
        return values
    array = np.asarray(values)
    if array.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
    return pa.array(array)


def film(path: Path, frames: np.ndarray, codec: str) -> None:
    """A yuv420p video with several pictures between two key frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        options = {"libx264": {"crf": "10", "g": "6", "bf": "2"}, "libsvtav1": {"g": "6"}}
        stream = container.add_stream(codec, rate=RATE, options=options.get(codec, {}))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def encoded(picture: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
