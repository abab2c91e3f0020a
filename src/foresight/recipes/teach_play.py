"""One taught episode to look at: demonstration, robot and imagined future side by side."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foresight.agents.teaching import Album, Demonstration, TaughtAgent, from_episode, watch
from foresight.data.collect import collect
from foresight.data.video import encode_video
from foresight.envs.dm_env import DMControlEnv, make
from foresight.envs.episode import EpisodeSpec, run_episode
from foresight.envs.render import RenderSettings
from foresight.envs.shifts import Shift
from foresight.files import write_bytes
from foresight.report.videos import encode_mp4, side_by_side, upscale

SHOWN_SIZE = 256
PICTURES = ("smooth:0.9", "smooth:0.5", "random", "smooth:0.97")
"""Behaviours of the episodes whose frames stand for imagined states."""


@dataclass(frozen=True)
class Played:
    """What came of an episode."""

    return_: float
    progress: float
    """Share of the demonstration that was followed to its end."""
    lost: float
    """Share of decisions at which the robot was nowhere near the demonstration."""
    film: UInt8[np.ndarray, "T H W 3"]
    """Demonstration | robot | what it imagined."""
    rate: float
    """Frames of the film in a second."""


def record_video(
    task: str, behaviour: str, seed: int, render: RenderSettings, steps: int | None, path: Path
) -> float:
    """Record one demonstration as a lossless video; returns its return.

    Raises:
        ForesightError: nobody can show the task, or the file cannot be written.
    """
    with closing(make(task, render=render)) as env:
        episode = run_episode(EpisodeSpec(task, seed, behaviour, render=render, steps=steps), env)
        assert episode.frames is not None
        write_bytes(path, encode_video(episode.frames, env.frames_per_second))
        return episode.return_


def album_of(
    agent: TaughtAgent,
    demonstration: Demonstration,
    seed: int,
    folder: Path,
    steps: int | None = None,
) -> Album:
    """Frames to show imagined states with: the demonstration's, and random motion in the scene.

    Args:
        agent: that was shown the demonstration.
        demonstration: the same one.
        seed: of the scene, which decides where a goal is.
        folder: where the random episodes are kept.
        steps: cut them short.
    """
    assert agent.shown is not None
    album = Album(agent.heads.space)
    album.add(agent.shown.z, demonstration.every(agent.shown.stride))
    render = RenderSettings(size=demonstration.frames.shape[1], quality="smooth")
    task = agent.model.config.task
    specs = [
        EpisodeSpec(task, seed, behaviour, render=render, steps=steps) for behaviour in PICTURES
    ]
    name = f"pictures-{seed}" + ("" if steps is None else f"-{steps}")
    store = collect(folder / name, specs, 1)
    for index in range(len(store)):
        moving = from_episode(store, index)
        seen = watch(moving, agent.model, agent.encoder, agent.rate)
        album.add(seen.z, moving.every(seen.stride))
    return album


def play(
    agent: TaughtAgent,
    demonstration: Demonstration,
    shift: Shift,
    seed: int,
    album: Album,
    steps: int | None = None,
) -> Played:
    """Let the agent do what it was shown, and film it.

    Args:
        agent: that was shown the demonstration.
        demonstration: for the film.
        shift: how the episode begins.
        seed: of the episode.
        album: pictures of imagined states.
        steps: end after so many.

    Raises:
        ForesightError: the goal of this task cannot be moved and is to be.
    """
    render = RenderSettings(size=demonstration.frames.shape[1], quality="smooth")
    with closing(make(agent.model.config.task, render=render)) as env:
        agent.seed(seed)
        observation = shift(env, seed)
        agent.reset(observation)
        robot, imagined, total = _roll(agent, env, observation, album, steps)
        rate = env.frames_per_second
    notes = agent.notes()
    shown = _in_step(demonstration, len(robot), rate)
    clips = [upscale(clip, SHOWN_SIZE) for clip in (shown, np.stack(robot), np.stack(imagined))]
    return Played(total, notes["progress"], notes["lost"], side_by_side(clips), rate)


def _roll(
    agent: TaughtAgent,
    env: DMControlEnv,
    observation: dict[str, np.ndarray],
    album: Album,
    steps: int | None,
) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    robot: list[np.ndarray] = []
    imagined: list[np.ndarray] = []
    total, over = 0.0, False
    while not over and len(robot) != steps:
        robot.append(observation["pixels"].copy())
        action = agent.act(observation)
        decided = (agent.step - 1) % agent.model.config.repeat == 0
        imagined.append(album.nearest(agent.imagined()[-1]) if decided else imagined[-1])
        observation, reward, terminated, truncated, _ = env.step(action)
        total, over = total + float(reward), terminated or truncated
    return robot, imagined, total


def _in_step(demonstration: Demonstration, length: int, rate: float) -> np.ndarray:
    """The demonstration's frames at the times of the robot's; its last one stays."""
    times = np.round(np.arange(length) * demonstration.rate / rate).astype(int)
    return demonstration.frames[np.minimum(times, len(demonstration.frames) - 1)]


def save_film(played: Played, path: Path) -> None:
    """Write the film as an MP4 file that every browser plays."""
    write_bytes(path, encode_mp4(played.film, played.rate))
