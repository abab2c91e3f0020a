"""Descriptions of episodes: rows of ``meta/episodes``, and footers of the data files we write.

A data file of ours carries, in its footer, the row that describes its episode. So the renaming of
that one file commits an episode, and ``meta/`` can be made again at any time.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import plain_json
from foresight.data.features import Schema
from foresight.data.layout import number_of, place
from foresight.data.stats import NAMES, Stats
from foresight.data.tables import parquet_errors

FOOTER = b"foresight"
LEVELS = "levels/"
OWN = ("return", "success", "terminated", "info", "data_hash")


@dataclass(frozen=True)
class VideoPlace:
    """Where an episode's frames lie.

    Attributes:
        path: of the video, below the dataset's folder.
        first: number of the episode's first frame in it.
        hash: of the file's bytes, for videos of ours.
    """

    path: str
    first: int = 0
    hash: str | None = None


@dataclass(frozen=True)
class EpisodeMeta:
    """One episode without its arrays.

    Attributes:
        index: its number on disk (``episode_index``); numbers may have gaps.
        length: steps T.
        start: steps of the episodes before it.
        tasks: what was to be done; empty where nobody says.
        data: path of its data file, below the dataset's folder.
        videos: key of a camera to where its frames lie.
        return_: sum of rewards, None where there are none or nobody noted it.
        success, terminated: as in :class:`foresight.core.episode.Episode`; None if unknown.
        info: seed, policy, environment, protocol and the like, as they were appended.
        data_hash: of the numbers that were appended; None for an episode of another program.
    """

    index: int
    length: int
    start: int
    tasks: tuple[str, ...]
    data: str
    videos: Mapping[str, VideoPlace] = field(default_factory=dict)
    return_: float | None = None
    success: bool | None = None
    terminated: bool | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    data_hash: str | None = None

    @property
    def task(self) -> str:
        """The first task, empty if there is none."""
        return self.tasks[0] if self.tasks else ""

    @property
    def own(self) -> bool:
        """Whether this package wrote the episode."""
        return self.data_hash is not None

    @property
    def number(self) -> int | None:
        """Running number of its data file."""
        return number_of(self.data)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> EpisodeMeta:
        """What ``dataclasses.asdict`` made of one."""
        videos = {key: VideoPlace(**video) for key, video in raw["videos"].items()}
        return cls(**{**raw, "videos": videos, "tasks": tuple(raw["tasks"])})

    def __str__(self) -> str:
        seed = f", seed {self.info['seed']}" if "seed" in self.info else ""
        return f"episode {self.index} ({self.task or 'no task'}{seed})"


@dataclass
class Record:
    """All that is known of an episode of ours beside its steps.

    Attributes:
        meta: what it is and where it lies.
        stats: statistics of every feature.
        levels: key of a camera to its ``[3, 256]`` colour histogram.
    """

    meta: EpisodeMeta
    stats: dict[str, Stats]
    levels: dict[str, np.ndarray]


def footer(record: Record, schema: Schema) -> str:
    """The record as text, for the footer of a data file."""
    value = {
        "meta": asdict(record.meta),
        "schema": schema.to_json(),
        "levels": {key: _pack(levels) for key, levels in record.levels.items()},
        "stats": record.stats,
    }
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=plain_json)


def read_footer(path: Path) -> tuple[Record, Schema]:
    """The record and the schema that a data file of ours carries.

    Raises:
        ForesightError: the file is missing, damaged or was not written by this package.
    """
    with parquet_errors(path):
        metadata = pq.read_metadata(path).metadata or {}
    try:
        value = json.loads(metadata[FOOTER])
        schema = Schema.from_info(value["schema"], path)
        levels = {key: _unpack(text) for key, text in value["levels"].items()}
        return Record(EpisodeMeta.from_json(value["meta"]), value["stats"], levels), schema
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ForesightError(
            f"{path} carries no description of its episode: another program wrote it, or it is "
            "damaged."
        ) from error


def episodes_schema(schema: Schema) -> pa.Schema:
    """Arrow schema of ``meta/episodes`` of ours: LeRobot's columns, then this package's own."""
    integer, number, text = pa.int64(), pa.float64(), pa.string()
    kinds: dict[str, pa.DataType] = {
        "episode_index": integer,
        "tasks": pa.list_(text),
        "length": integer,
        "dataset_from_index": integer,
        "dataset_to_index": integer,
        "data/chunk_index": integer,
        "data/file_index": integer,
    }
    videos = [name for name, f in schema.features.items() if f.dtype == "video"]
    for key in videos:
        kinds |= {f"videos/{key}/{name}": integer for name in ("chunk_index", "file_index")}
        kinds |= {f"videos/{key}/{name}_timestamp": number for name in ("from", "to")}
    kinds |= {"meta/episodes/chunk_index": integer, "meta/episodes/file_index": integer}
    kinds |= {"return": number, "success": pa.bool_(), "terminated": pa.bool_()}
    kinds |= {"info": text, "data_hash": text}
    for name, feature in schema.features.items():
        values = pa.list_(number)
        if feature.picture:
            values = pa.list_(pa.list_(values))
        for stat in NAMES:
            kinds[f"stats/{name}/{stat}"] = pa.list_(integer) if stat == "count" else values
    for key in videos:
        kinds |= {f"video_hash/{key}": text, LEVELS + key: pa.list_(integer)}
    return pa.schema([pa.field(name, kind) for name, kind in kinds.items()])


def episode_row(record: Record, schema: Schema) -> dict[str, Any]:
    """A record as a row of ``meta/episodes``."""
    row = place_columns(record.meta, schema.rate)
    row |= {LEVELS + key: levels.reshape(-1).tolist() for key, levels in record.levels.items()}
    for name, stats in record.stats.items():
        row |= {f"stats/{name}/{stat}": values for stat, values in stats.items()}
    return row


def place_columns(meta: EpisodeMeta, rate: float) -> dict[str, Any]:
    """The columns of ``meta/episodes`` that follow from the episode's description."""
    row: dict[str, Any] = {
        "episode_index": meta.index,
        "tasks": list(meta.tasks),
        "length": meta.length,
        "dataset_from_index": meta.start,
        "dataset_to_index": meta.start + meta.length,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
        "return": meta.return_,
        "success": meta.success,
        "terminated": meta.terminated,
        "info": json.dumps(dict(meta.info), default=plain_json),
        "data_hash": meta.data_hash,
    }
    row["data/chunk_index"], row["data/file_index"] = place(meta.number or 0)
    for key, video in meta.videos.items():
        prefix, end = f"videos/{key}", video.first + meta.length
        row[f"{prefix}/chunk_index"], row[f"{prefix}/file_index"] = place(
            number_of(video.path) or 0
        )
        row[f"{prefix}/from_timestamp"] = video.first / rate
        row[f"{prefix}/to_timestamp"] = end / rate
        row[f"video_hash/{key}"] = video.hash
    return row


def metas_of(rows: list[dict[str, Any]], schema: Schema) -> list[EpisodeMeta]:
    """The episodes of rows of ``meta/episodes``, written by any program.

    The places of data and videos are those of the metadata's own columns. A frame's number is
    rounded once for each episode and counted from there, so that it never drifts.
    """
    found: list[EpisodeMeta] = []
    start = 0
    for row in rows:
        meta = _meta(row, start, schema)
        found.append(meta)
        start += meta.length
    return found


def ended(noted: bool | None, flags: np.ndarray | None, anywhere: bool = False) -> bool | None:
    """What the metadata note of an episode's end, or what its column says."""
    if noted is not None or flags is None or not len(flags):
        return noted
    return bool(flags.any() if anywhere else flags[-1])


def _meta(row: Mapping[str, Any], start: int, schema: Schema) -> EpisodeMeta:
    data_path = schema.info["data_path"]
    videos = {}
    for key, feature in schema.features.items():
        prefix = f"videos/{key}/"
        if feature.dtype == "video" and row.get(f"{prefix}file_index") is not None:
            path = schema.info["video_path"].format(video_key=key, **_place(row, prefix))
            first = round(float(row.get(f"{prefix}from_timestamp") or 0.0) * schema.rate)
            videos[key] = VideoPlace(path, first, row.get(f"video_hash/{key}"))
    own = row.get("data_hash") is not None
    return EpisodeMeta(
        index=int(row["episode_index"]),
        length=int(row["length"]),
        start=start,
        tasks=tuple(row.get("tasks") or ()),
        data=data_path.format(**_place(row, "data/")),
        videos=videos,
        return_=row.get("return") if own else None,
        success=row.get("success") if own else None,
        terminated=row.get("terminated") if own else None,
        info=json.loads(row["info"]) if own and row.get("info") else {},
        data_hash=row.get("data_hash"),
    )


def _place(row: Mapping[str, Any], prefix: str) -> dict[str, int]:
    return {name: int(row[prefix + name]) for name in ("chunk_index", "file_index")}


def _pack(levels: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(levels.astype("<i8").tobytes(), 6)).decode()


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8").reshape(3, -1)
