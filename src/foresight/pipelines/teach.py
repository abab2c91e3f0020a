"""One taught episode to look at: demonstration, robot and imagined future side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foresight.core.files import write_bytes
from foresight.data.video import encode_video
from foresight.envs.dmc.environment import DMControlEnv, make
from foresight.envs.render import RenderSettings
from foresight.evaluation.assess import camera
from foresight.experts.shifts import Kind, Shift
from foresight.perception.encoder import load_encoder
from foresight.pipelines.demonstrations import TeachConfig, teacher_of
from foresight.policies.taught import (
    Album,
    Demonstration,
    TaughtAgent,
    Way,
    from_episode,
    open_demonstration,
    watch,
)
from foresight.report.videos import encode_mp4, side_by_side, upscale
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec, run_episode
from foresight.training.taught import taught_heads
from foresight.worldmodel.model import WorldModel

SHOWN_SIZE = 256
PICTURES = ("ar1:0.9", "ar1:0.5", "random", "ar1:0.97")
"""Behaviours of the episodes whose frames stand for imagined states."""


@dataclass(frozen=True)
class Lesson:
    """What is shown to which robot."""

    task: str
    """Its id."""
    model: Path
    """Folder of the learned model."""
    demo: str | None = None
    """The demonstration, as `open_demonstration` takes it; without one the task's expert or oracle
    records it."""
    case: Kind = "faithful"
    """How the robot's episode begins."""
    way: Way = "plan"
    """Who follows."""
    seed: int | None = None
    """Scene to act in; that of the demonstration if it is known, else 0."""
    sizes: TeachConfig = field(default_factory=TeachConfig)
    """Heads, search, eyes and length."""


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


def teach_once(
    lesson: Lesson, out: Path, folder: Path, say: Callable[[str], None] = print
) -> Played:
    """Show the task, let the robot do it, and write the film to ``out``.

    Args:
        lesson: what is shown.
        out: the film.
        folder: where a demonstration recorded for it stays, and frames that stand for imagined
            states.
        say: told how it goes, in sentences.

    Raises:
        ForesightError: whatever is wrong with task, model, demonstration or case.
    """
    task, sizes, demo = lesson.task, lesson.sizes, lesson.demo
    model, encoder = WorldModel.load(lesson.model), load_encoder(sizes.encoder)
    if demo is None:
        demo = str(folder / f"{task}-demonstration-{lesson.seed or 0}.mp4")
        render = camera(sizes.encoder)
        best = record_video(
            task, teacher_of(task), lesson.seed or 0, render, sizes.steps, Path(demo)
        )
        say(f"demonstration: {demo}, return {best:.1f}")
    demonstration = open_demonstration(demo)
    heads, report = taught_heads(lesson.model, sizes.heads)
    say(
        f"heads on held-out episodes: inverse model R² {report.inverse_r2:.2f}, distance in time, "
        f"rank correlation {report.reach_rank:.2f}"
    )
    agent = TaughtAgent(model, heads, encoder, sizes.follow, lesson.way)
    agent.show(demonstration)
    for warning in agent.warnings:
        say(f"warning: {warning}")
    seed = lesson.seed if lesson.seed is not None else demonstration.seed or 0
    album = album_of(agent, demonstration, seed, folder / task, sizes.steps)
    played = play(agent, demonstration, Shift(lesson.case), seed, album, sizes.steps)
    save_film(played, out)
    say(
        f"{lesson.case}, seed {seed}: return {played.return_:.1f}, {played.progress:.0%} of the "
        f"demonstration followed, lost in {played.lost:.0%} of the decisions"
    )
    say(f"film (demonstration | robot | imagined): {out}")
    return played


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
        robot.append(observation["images"]["camera"].copy())
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
