"""The page of a run, made from what the run left in its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.files import write_bytes
from foresight.core.metrics import read_metrics
from foresight.data.clip import read_video
from foresight.evaluation.results import load
from foresight.report.page import Video, write_result_page
from foresight.report.videos import encode_gif, encode_mp4

GIF_RATE = 10
"""Frames a second of a GIF, about; an MP4 keeps all of them."""


BESIDE = "beside"
"""The folder in which another agent learned the same task."""


def film_path(folder: Path, name: str) -> Path:
    """Where the film of an episode lies."""
    return folder / "videos" / f"{name}.mp4"


def save_films(folder: Path, films: dict[str, np.ndarray]) -> None:
    """Write frames uint8 `[T, H, W, 3]` as films."""
    for name, frames in films.items():
        write_bytes(film_path(folder, name), encode_mp4(frames))


def road_page(folder: Path) -> Path:
    """Write ``report.html`` from ``result.json``, ``model/metrics.jsonl`` and ``videos/``.

    Raises:
        ForesightError: the folder holds no finished run.
    """
    result = load(folder / "result.json")
    films = sorted((folder / "videos").glob("*.mp4"))
    films += sorted((folder / BESIDE / "videos").glob("*.mp4"))
    videos = [Video(film.read_bytes(), film.stem.replace("-", " ")) for film in films]
    metrics = read_metrics(folder / "model" / "metrics.jsonl")
    return write_result_page(folder / "report.html", result, metrics, videos)


def film_gif(folder: Path, out: Path) -> Path:
    """Write the last of a run's films, by name, as a GIF.

    Raises:
        ForesightError: the run has no films.
    """
    films = sorted((folder / "videos").glob("*.mp4"))
    if not films:
        raise ForesightError(
            f"{folder} holds no films: finish its `foresight run` or `foresight learn` first."
        )
    clip = read_video(films[-1])
    every = max(1, round(clip.rate / GIF_RATE))
    write_bytes(out, encode_gif(clip.frames[::every], clip.rate / every))
    return out
