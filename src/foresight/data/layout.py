"""Where the files of a dataset lie: LeRobotDataset v3.0, with one data file for each episode.

The format allows that (1000 files in a chunk folder), and so appending touches no old file. An
episode that we write has one running number for its data file and for the video of each camera.
"""

from __future__ import annotations

from pathlib import Path

CHUNKS_SIZE = 1000
FILE_NAME = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE_NAME}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE_NAME}.mp4"
EPISODES_FOLDER = "meta/episodes"
EPISODES_PATH = f"{EPISODES_FOLDER}/chunk-000/file-000.parquet"
INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
REMOVED = "removed"
"""Folder inside a dataset for what a repair took out; no reader looks into it."""


def place(number: int) -> tuple[int, int]:
    """Chunk and file index of a running number."""
    return divmod(number, CHUNKS_SIZE)


def data_file(number: int) -> str:
    """Path of the data file with a running number, below the dataset's folder."""
    chunk, file = place(number)
    return DATA_PATH.format(chunk_index=chunk, file_index=file)


def video_file(key: str, number: int) -> str:
    """Path of the video of one camera with a running number, below the dataset's folder."""
    chunk, file = place(number)
    return VIDEO_PATH.format(video_key=key, chunk_index=chunk, file_index=file)


def number_of(path: Path | str) -> int | None:
    """The running number of ``chunk-CCC/file-FFF``, None for a path of another form."""
    path = Path(path)
    chunk, number = path.parent.name, path.stem
    if not (chunk.startswith("chunk-") and number.startswith("file-")):
        return None
    if not (chunk[6:].isdigit() and number[5:].isdigit()):
        return None
    return int(chunk[6:]) * CHUNKS_SIZE + int(number[5:])


def data_files(root: Path) -> dict[int, Path]:
    """Running number to path of all data files, in order."""
    found = {number_of(path): path for path in root.glob("data/chunk-*/file-*.parquet")}
    return dict(sorted((n, path) for n, path in found.items() if n is not None))


def video_files(root: Path) -> list[Path]:
    """All videos of all cameras."""
    return sorted(root.glob("videos/*/chunk-*/file-*.mp4"))


def episode_files(root: Path) -> list[Path]:
    """The files of ``meta/episodes``, in the order of their episodes."""
    return sorted((root / EPISODES_FOLDER).glob("chunk-*/file-*.parquet"))


def temporary_files(root: Path) -> list[Path]:
    """What killed writers left half written (see ``foresight.core.files.atomic_write``)."""
    folders = ("data/*", "videos/*/*", "meta", "meta/episodes/*")
    return sorted(path for folder in folders for path in root.glob(f"{folder}/.*.tmp"))


def is_dataset(root: Path) -> bool:
    """Whether ``root`` holds a dataset, be it empty or damaged."""
    return (root / INFO_PATH).is_file() or bool(data_files(root))
