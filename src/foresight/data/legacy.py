"""Metadata of LeRobotDataset v2.0 and v2.1: one parquet and one video for each episode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.data.episodes import EpisodeMeta, VideoPlace
from foresight.data.features import Schema

EPISODES = "meta/episodes.jsonl"
TASKS = "meta/tasks.jsonl"
STATS = "meta/episodes_stats.jsonl"
DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def legacy_metas(root: Path, schema: Schema) -> list[EpisodeMeta]:
    """The episodes of ``meta/episodes.jsonl``; their numbers may have gaps.

    Raises:
        ForesightError: the file is missing or damaged.
    """
    info = schema.info
    chunk = int(info.get("chunks_size") or 1000)
    found, start = [], 0
    for row in sorted(read_jsonl(root / EPISODES), key=lambda row: int(row["episode_index"])):
        number = int(row["episode_index"])
        place = {"episode_chunk": number // chunk, "episode_index": number}
        videos = {
            key: VideoPlace((info.get("video_path") or VIDEO).format(video_key=key, **place))
            for key, feature in schema.features.items()
            if feature.dtype == "video"
        }
        meta = EpisodeMeta(
            index=number,
            length=int(row["length"]),
            start=start,
            tasks=tuple(map(str, row.get("tasks") or ())),
            data=(info.get("data_path") or DATA).format(**place),
            videos=videos,
        )
        found.append(meta)
        start += meta.length
    return found


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Lines of JSON.

    Raises:
        ForesightError: the file is missing or a line is not valid.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ForesightError(f"{path} does not exist: copy it again.") from error
    except UnicodeDecodeError as error:
        raise ForesightError(f"{path} is not text: it is damaged, copy it again.") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ForesightError(
                f"{path} is damaged in line {number} ({error.msg}): copy it again."
            ) from error
        found.append(row)
    return found
