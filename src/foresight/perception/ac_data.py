"""A robot's dataset as V-JEPA 2-AC sees it: tokens of single frames, actions and states.

The published predictor knows a gripper's pose and its changes, 4 frames a second (arXiv
2506.09985, section 3). A dataset whose state holds a pose is told to it as that. Any other robot
has its own actions and state, standardised; those need encoders of their own, which are learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.observation import STATE_KEY
from foresight.core.progress import track
from foresight.core.spec import Spec
from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.data.windows import held_actions
from foresight.perception.ac import represent
from foresight.perception.encode import prepared_frames
from foresight.perception.encoder import Encoder
from foresight.perception.pose import WIDTH, pose_difference

RATE = 4.0
"""Frames a second of the published training."""
LEAST = 1e-6
"""A number that varies less is not scaled up."""


@dataclass(frozen=True)
class ACRobot:
    """How a dataset's frames and numbers become the predictor's."""

    camera: str
    """Whose pictures are seen."""
    every: int
    """Keep each so many-th frame."""
    pose: tuple[str, ...] = ()
    """Seven numbers of the state: x, y, z (metres), three Euler angles (radians), gripper; actions
    are their changes. Without, the dataset's own actions and state."""
    action_mean: tuple[float, ...] = ()
    action_scale: tuple[float, ...] = ()
    state_mean: tuple[float, ...] = ()
    state_scale: tuple[float, ...] = ()

    @classmethod
    def read(cls, raw: dict[str, Any]) -> ACRobot:
        """From what a checkpoint's JSON has of it."""
        told: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
        }
        return cls(**told)

    @property
    def width(self) -> int:
        """Numbers of an action and of a state; the shorter of the two is filled up with zeros."""
        return WIDTH if self.pose else max(len(self.action_mean), len(self.state_mean), 1)

    def names(self, spec: Spec) -> tuple[str, ...]:
        """Of the numbers of an action."""
        return self.pose or tuple(axis.name for axis in spec.action)

    def controls(
        self, actions: Float[np.ndarray, "T A"], state: Float[np.ndarray, "T S"], spec: Spec
    ) -> tuple[Float[Tensor, "D W"], Float[Tensor, "D W"]]:
        """Actions and states at the kept frames of an episode.

        Of a pose, the last action is zero: nothing is known after the last frame. Other actions are
        the mean over the steps between two kept frames, and later states of a window are those of
        its first frame, because a planner does not know them; see `held_states`.
        """
        if self.pose:
            known = {axis.name: place for place, axis in enumerate(spec.state)}
            path = torch.from_numpy(state[:: self.every, [known[name] for name in self.pose]])
            return pose_difference(path, torch.cat([path[1:], path[-1:]])), path
        taken = _scaled(held_actions(actions, self.every), self.action_mean, self.action_scale)
        told = _scaled(state[:: self.every], self.state_mean, self.state_scale)
        return _filled(taken, self.width), _filled(told, self.width)

    def standardised(self, actions: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """Actions of a robot without a pose, standardised."""
        mean, scale = torch.tensor(self.action_mean), torch.tensor(self.action_scale)
        return (actions - mean.to(actions)) / scale.to(actions)

    def felt(self, state: Float[np.ndarray, " S"]) -> Float[Tensor, " S"]:
        """A state of such a robot, standardised."""
        return _scaled(state, self.state_mean, self.state_scale)


@dataclass(frozen=True)
class ACEpisodes:
    """A dataset, read.

    Attributes:
        cache: tokens of the kept frames, ``[frames, N * D]`` in half precision.
        actions: ``[frames, W]``.
        states: ``[frames, W]``.
    """

    cache: FeatureCache
    actions: Float[Tensor, "n W"]
    states: Float[Tensor, "n W"]


def robot_of(
    dataset: Dataset,
    camera: str,
    every: int = 0,
    pose: Sequence[str] = (),
    train: Sequence[int] | None = None,
) -> ACRobot:
    """How a dataset is told to the predictor.

    Args:
        dataset: of the robot.
        camera: whose pictures are seen.
        every: keep each so many-th frame; 0: what comes nearest to 4 frames a second.
        pose: names of seven numbers of the state, or none.
        train: episodes from which own actions and states are standardised; all if not given.

    Raises:
        ForesightError: other than seven names, or names that the state does not have.
    """
    names = [axis.name for axis in dataset.spec.state]
    if pose and (len(pose) != WIDTH or set(pose) - set(names)):
        raise ForesightError(
            f"The pose {', '.join(pose)} does not fit: name seven numbers of the state (x, y, z, "
            f"three Euler angles, gripper) out of {', '.join(names) or 'none'}, or leave it out."
        )
    robot = ACRobot(camera, every or max(1, round(dataset.spec.fps / RATE)), tuple(pose))
    if pose:
        return robot
    actions, state = _numbers(dataset)
    chosen = range(len(dataset)) if train is None else train
    rows = np.concatenate([np.arange(*dataset.offsets[i : i + 2]) for i in chosen])
    (a_mean, a_scale), (s_mean, s_scale) = (_statistics(part[rows]) for part in (actions, state))
    return replace(
        robot, action_mean=a_mean, action_scale=a_scale, state_mean=s_mean, state_scale=s_scale
    )


def read_ac_episodes(
    dataset: Dataset,
    encoder: Encoder,
    robot: ACRobot,
    root: Path | str,
    episodes: Sequence[int] | None = None,
) -> ACEpisodes:
    """Encode the kept frames of episodes that are not encoded yet, each frame alone.

    Args:
        dataset: the episodes.
        encoder: that of the predictor.
        robot: what is kept of them.
        root: folder of all caches.
        episodes: the ones that are needed; all if None.

    Raises:
        ForesightError: no such camera, no actions, a damaged dataset, a full disk.
    """
    if robot.camera not in dataset.spec.cameras:
        raise ForesightError(
            f"{dataset.path} has no camera {robot.camera!r}: choose one of "
            f"{', '.join(dataset.spec.cameras)}."
        )
    actions, state = _numbers(dataset)
    parts = [
        robot.controls(actions[first:end], state[first:end], dataset.spec)
        for first, end in zip(dataset.offsets[:-1], dataset.offsets[1:], strict=True)
    ]
    lengths = [len(taken) for taken, _ in parts]
    height, width = dataset.spec.cameras[robot.camera]
    cache = FeatureCache.open_or_create(
        root,
        dataset.fingerprint,
        encoder.fingerprint,
        fingerprint(["single frames of V-JEPA 2-AC", robot.every]),
        lengths,
        (encoder.grid**2 * encoder.dim,),
        "float16",
        robot.camera,
        encoder.prepare.fingerprint(height, width),
    )
    done = cache.done
    wanted = range(len(dataset)) if episodes is None else episodes
    for index in track([i for i in wanted if not done[i]], f"encode with {encoder.name}"):
        frames = prepared_frames(dataset, index, robot.camera, encoder.prepare)[:: robot.every]
        tokens = represent(encoder, frames[None])[0]
        cache.write_episode(index, tokens.view(len(frames), -1).cpu().numpy())
    return ACEpisodes(cache, torch.cat([a for a, _ in parts]), torch.cat([s for _, s in parts]))


def held_states(states: Float[Tensor, "B T W"]) -> Float[Tensor, "B T W"]:
    """The state of the first frame at all of them: what is known when an imagination begins."""
    return states[:, :1].expand_as(states)


def _numbers(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Actions ``[N, A]`` and states ``[N, S]``; no numbers where there is no state."""
    if not dataset.has("action"):
        raise ForesightError(
            f"{dataset.path} has no actions, so nothing can be said of what they do: record them."
        )
    actions = np.array(dataset.column("action"), np.float32)
    steps = len(actions)
    state = np.zeros((steps, 0), np.float32)
    if dataset.has(STATE_KEY):
        state = np.array(dataset.column(STATE_KEY), np.float32)
    return actions.reshape(steps, -1), state.reshape(steps, -1)


def _statistics(numbers: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    spread = numbers.std(0, dtype=np.float64)
    scale = np.where(spread > LEAST, spread, 1.0)
    return tuple(numbers.mean(0, dtype=np.float64).tolist()), tuple(scale.tolist())


def _scaled(numbers: np.ndarray, mean: Sequence[float], scale: Sequence[float]) -> Tensor:
    centre, width = np.asarray(mean, np.float32), np.asarray(scale, np.float32)
    return torch.from_numpy((numbers - centre) / width)


def _filled(numbers: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(numbers, (0, width - numbers.shape[1]))
