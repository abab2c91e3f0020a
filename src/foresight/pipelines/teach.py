"""One taught episode to look at: demonstration, robot and imagined future side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foresight.core.files import write_bytes
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.data.video import encode_video
from foresight.envs.registry import EnvConfig, spec_of
from foresight.evaluation.assess import seen_by
from foresight.experts.shifts import Kind, Shift
from foresight.perception.encoder import load_encoder
from foresight.pipelines.demonstrations import TeachConfig, demonstrator_of
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
from foresight.rollout.vector import VectorRollout
from foresight.training.taught import taught_heads
from foresight.worldmodel.model import WorldModel

SHOWN_SIZE = 256
PICTURES = ("ar1:0.9", "ar1:0.5", "random", "ar1:0.97")
"""Behaviours of the episodes whose frames stand for imagined states."""


@dataclass(frozen=True)
class TeachRequest:
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
    way: Way = "inverse"
    """Who follows."""
    seed: int | None = None
    """Scene to act in; that of the demonstration if it is known, else 0."""
    sizes: TeachConfig = field(default_factory=TeachConfig)
    """Heads, search, eyes and length."""
    device: str = "cpu"
    """Where encoder, model and planner run."""


@dataclass(frozen=True)
class Played:
    """What came of an episode."""

    return_: float
    progress: float
    """Share of the demonstration that was followed to its end."""
    lost: float
    """Share of decisions at which the robot was nowhere near the demonstration."""
    film: UInt8[np.ndarray, "T H W 3"]
    """Demonstration | robot | what it imagined, or aimed at."""
    rate: float
    """Frames of the film in a second."""


def teach_once(
    request: TeachRequest, out: Path, folder: Path, say: Callable[[str], None] = print
) -> Played:
    """Show the task, let the robot do it, and write the film to ``out``.

    Args:
        request: what is shown.
        out: the film.
        folder: where a demonstration recorded for it stays, and frames that stand for imagined
            states.
        say: told how it goes, in sentences.

    Raises:
        ForesightError: whatever is wrong with task, model, demonstration or case.
    """
    task, sizes, demo = request.task, request.sizes, request.demo
    encoder = load_encoder(sizes.encoder, device=request.device)
    model = WorldModel.load(request.model).to(encoder.device)
    if demo is None:
        demo = str(folder / f"{task}-demonstration-{request.seed or 0}.mp4")
        env = seen_by(sizes.encoder, EnvConfig(task))
        spec = EpisodeSpec(env, request.seed or 0, demonstrator_of(task), sizes.steps)
        best = record_video(spec, Path(demo))
        say(f"demonstration: {demo}, return {best:.1f}")
    demonstration = open_demonstration(demo)
    heads, report = taught_heads(request.model, sizes.heads)
    say(
        f"heads on held-out episodes: inverse model R² {report.inverse_r2:.2f}, distance in time, "
        f"rank correlation {report.reach_rank:.2f}"
    )
    rate = _rate(task)
    agent = TaughtAgent(model, heads.to(encoder.device), encoder, sizes.follow, request.way, rate)
    agent.show(demonstration)
    for warning in agent.warnings:
        say(f"warning: {warning}")
    seed = request.seed if request.seed is not None else demonstration.seed or 0
    album = album_of(agent, demonstration, seed, folder / task, sizes.steps)
    played = play(agent, demonstration, Shift(request.case), seed, album, sizes.steps)
    save_film(played, out)
    say(
        f"{request.case}, seed {seed}: return {played.return_:.1f}, {played.progress:.0%} of the "
        f"demonstration followed, lost in {played.lost:.0%} of the decisions"
    )
    last = "imagined" if request.way == "plan" else "aimed at"
    say(f"film (demonstration | robot | {last}): {out}")
    return played


def _rate(task: str) -> float:
    """Steps of a task's environment in a second."""
    with closing(EnvConfig(task, cameras=()).make()) as env:
        return spec_of(env).fps


def record_video(spec: EpisodeSpec, path: Path) -> float:
    """Record one demonstration as a lossless video; returns its return.

    Raises:
        ForesightError: nobody can show the task, or the file cannot be written.
    """
    episode = run_episode(spec)
    (frames,) = episode.images.values()
    write_bytes(path, encode_video(frames, round(episode.fps)))
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
    env = _seen_as(demonstration, agent)
    specs = [EpisodeSpec(env, seed, policy, steps) for policy in PICTURES]
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
    watched = _Watched(agent, album)
    with VectorRollout(_seen_as(demonstration, agent), max_steps=steps, start=shift) as rollout:
        (episode,) = rollout.run([watched], [seed])
    (robot,) = episode.images.values()
    shown = _in_step(demonstration, len(robot), episode.fps)
    clips = [upscale(clip, SHOWN_SIZE) for clip in (shown, robot, np.stack(watched.imagined))]
    notes, film = agent.notes(), side_by_side(clips)
    return Played(episode.info["return"], notes["progress"], notes["lost"], film, episode.fps)


class _Watched(Policy):
    """A taught agent, with pictures of what it imagines.

    Args:
        agent: that was shown a demonstration.
        album: pictures of imagined states.
    """

    def __init__(self, agent: TaughtAgent, album: Album) -> None:
        self.agent, self.album = agent, album
        self.imagined: list[np.ndarray] = []

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode."""
        self.agent.reset(observation, seed)
        self.imagined = []

    def act(self, observation: Observation) -> Action:
        """The agent's action; a new picture whenever it has decided anew."""
        action = self.agent.act(observation)
        decided = (self.agent.step - 1) % self.agent.model.config.repeat == 0
        future = self.agent.imagined()[-1] if decided else None
        self.imagined.append(self.imagined[-1] if future is None else self.album.nearest(future))
        return action


def _seen_as(demonstration: Demonstration, agent: TaughtAgent) -> EnvConfig:
    """The agent's environment with pictures of the demonstration's size."""
    size = demonstration.frames.shape[1]
    return EnvConfig(agent.model.config.task, size=size, quality="smooth")


def _in_step(demonstration: Demonstration, length: int, rate: float) -> np.ndarray:
    """The demonstration's frames at the times of the robot's; its last one stays."""
    times = np.round(np.arange(length) * demonstration.rate / rate).astype(int)
    return demonstration.frames[np.minimum(times, len(demonstration.frames) - 1)]


def save_film(played: Played, path: Path) -> None:
    """Write the film as an MP4 file that every browser plays."""
    write_bytes(path, encode_mp4(played.film, played.rate))
