"""Numbers of a simulator's state that a linear law can use."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from foresight.envs.gl import choose_gl

choose_gl(required=False)  # before anything imports MuJoCo

import mujoco  # noqa: E402

FORWARD = "rootx"
"""The joint along which dm_control's planar robots run: where one is says nothing about what to do.
"""


class StateFeatures:
    """Joint positions and velocities; angles that may turn all the way as sine and cosine.

    Args:
        model: the task's ``mujoco.MjModel``, with hinge and slide joints only.
    """

    def __init__(self, model: Any) -> None:
        kinds, limited = np.array(model.jnt_type), np.array(model.jnt_limited, bool)
        place = np.array(model.jnt_qposadr)
        hinge = kinds == mujoco.mjtJoint.mjJNT_HINGE
        away = np.array([model.joint(j).name == FORWARD for j in range(model.njnt)])
        self.turning = place[hinge & ~limited]
        self.bounded = place[(hinge & limited) | (~hinge & ~away)]
        self.nq, self.nv = int(model.nq), int(model.nv)

    @property
    def size(self) -> int:
        """D."""
        return 2 * len(self.turning) + len(self.bounded) + self.nv

    def __call__(self, states: Float[np.ndarray, "*batch S"]) -> Float[np.ndarray, "*batch D"]:
        """Features of states (positions, velocities, activations; without time)."""
        positions = states[..., : self.nq]
        turning = positions[..., self.turning]
        velocities = states[..., self.nq : self.nq + self.nv]
        parts = [np.sin(turning), np.cos(turning), positions[..., self.bounded], velocities]
        return np.concatenate(parts, axis=-1)
