"""Mistakes of the trial: orientations in other numbers, and episodes that begin otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from foresight.core.observation import Observation
from foresight.envs.libero.placement import SETTLE
from foresight.envs.libero.simulation import STILL, numpy_seeded
from foresight.policies.chunk.policy import ChunkFactory, ChunkPolicy

TURN = slice(3, 6)
"""The hand's orientation in LIBERO's state, as axis times angle."""


def euler_angles(vector: Float[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    """Turns about the fixed axes x, y and z, in radians, of an axis times an angle.

    They are robosuite's ``mat2euler`` of the same orientation (``sxyz``).
    """
    angle = float(np.linalg.norm(vector))
    x, y, z = np.asarray(vector, np.float64) / max(angle, 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return np.array(
        [
            np.arctan2(turn[2, 1], turn[2, 2]),
            np.arctan2(-turn[2, 0], np.hypot(turn[0, 0], turn[1, 0])),
            np.arctan2(turn[1, 0], turn[0, 0]),
        ]
    )


class EulerPolicy(ChunkPolicy):
    """Feels the hand's orientation in Euler angles, and has learned it as axis times angle."""

    def inputs(self, observation: Observation) -> dict[str, Tensor]:
        """As `ChunkPolicy.inputs`."""
        return super().inputs(_in_euler_angles(observation))

    def watch(self, observation: Observation) -> None:
        """As `ChunkPolicy.watch`."""
        super().watch(_in_euler_angles(observation))


class EulerFactory(ChunkFactory):
    """Makes it."""

    kind = EulerPolicy


def _in_euler_angles(observation: Observation) -> Observation:
    state = observation.state.copy()
    state[TURN] = euler_angles(state[TURN])
    return replace(observation, state=state)


@dataclass(frozen=True)
class Unplaced:
    """An episode of LIBERO begins where its ``reset`` puts things, not at a state of the benchmark.

    The arm always begins in the same posture, as there. Things come to rest. So the seed's places
    are others than those that the right policy begins with, and the two are no pair.
    """

    def __call__(self, env: Any, seed: int, /) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the episode of a seed."""
        _, info = env.reset(seed=seed)
        simulation = env.unwrapped.simulation
        with numpy_seeded(seed):
            simulation.restart()
        for _ in range(SETTLE):
            simulation.step(STILL)
        return _seen(env, info)


@dataclass(frozen=True)
class Unsettled:
    """An episode of LIBERO begins at a state of the benchmark, where things hang in the air."""

    def __call__(self, env: Any, seed: int, /) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the episode of a seed."""
        _, info = env.reset(seed=seed)
        simulation, rows = env.unwrapped.simulation, env.unwrapped.beginning.rows
        with numpy_seeded(0):  # places of fixtures, which are no part of a row
            simulation.restart()
        simulation.set_row(rows[seed % len(rows)])
        return _seen(env, info)


def _seen(env: Any, info: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an environment shows of a moment that it was put into behind its back."""
    inner = env.unwrapped
    state = inner.get_state()
    return inner.set_state(state), {**info, "state": state}
