"""Experts that read the true simulator: scripted ones, and feedback laws that were searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.experts.expert import Expert
from foresight.experts.feedback import FeedbackExpert, known_laws


class ReacherExpert(Expert):
    """Two-link inverse kinematics, then a PD controller on the joints.

    Both elbow solutions are tried; the one that the joints reach sooner is kept for the episode.
    """

    stiffness = np.array([12.0, 12.0])
    damping = np.array([1.6, 1.0])

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._goal = np.zeros(2)

    def reset(self, observation: Observation, seed: int) -> None:
        """Choose the joint angles that put the finger on the target."""
        angles = self.physics.data.qpos[:2].copy()
        solutions = _reacher_solutions(self.physics)
        # A revolute shoulder takes the short way round; the limited elbow cannot.
        for solution in solutions:
            solution[0] = angles[0] + _wrapped(solution[0] - angles[0])
        self._goal = min(solutions, key=lambda goal: float(np.abs(goal - angles).max()))

    def act(self, observation: Observation) -> Action:
        """Joint torques as control values, float32 ``[2]``."""
        data = self.physics.data
        error = self._goal - data.qpos[:2]
        control = self.stiffness * error - self.damping * data.qvel[:2]
        return np.clip(control, -1, 1).astype(np.float32)


class PointMassExpert(Expert):
    """A PD controller in the plane, undone through the actuators' mixing of the two axes."""

    stiffness = 60.0
    damping = 12.0

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._unmix: np.ndarray = np.eye(2)

    def reset(self, observation: Observation, seed: int) -> None:
        """Read which axes each actuator pulls (``point_mass-hard`` draws this anew)."""
        mixing = np.array(self.physics.model.wrap_prm[:4], np.float64).reshape(2, 2).T
        self._unmix = np.linalg.inv(mixing)

    def act(self, observation: Observation) -> Action:
        """Control values, float32 ``[2]``."""
        physics = self.physics
        error = physics.mass_to_target()[:2]
        force = self.stiffness * error - self.damping * physics.data.qvel[:2]
        return np.clip(self._unmix @ force, -1, 1).astype(np.float32)


EXPERTS: dict[tuple[str, str], Callable[[Spec], Policy]] = {
    ("expert", "reacher-easy"): ReacherExpert,
    ("expert", "reacher-hard"): ReacherExpert,
    ("expert", "point_mass-easy"): PointMassExpert,
    ("expert", "point_mass-hard"): PointMassExpert,
}


def make_expert(kind: str, task: str, spec: Spec) -> Policy:
    """The expert of a task.

    Raises:
        ForesightError: nobody has written one.
    """
    if kind == "expert" and (kind, task) not in EXPERTS and task in known_laws():
        return FeedbackExpert(task, spec)
    if (kind, task) not in EXPERTS:
        laws = known_laws() if kind == "expert" else ()
        have = ", ".join([*(name for found, name in EXPERTS if found == kind), *laws])
        raise ForesightError(
            f"There is no {kind!r} policy for {task}: use oracle, or one of the tasks {have}."
        )
    return EXPERTS[kind, task](spec)


def _reacher_solutions(physics: Any) -> list[np.ndarray]:
    """Joint angles ``[2]`` that reach the target, elbow up and elbow down, where limits allow."""
    model = physics.named.model
    upper, lower = float(model.body_pos["hand", "x"]), float(model.body_pos["finger", "x"])
    x, y = physics.named.data.geom_xpos["target", :2]
    cosine = (x * x + y * y - upper**2 - lower**2) / (2 * upper * lower)
    low, high = model.jnt_range["wrist"]
    bend = min(float(np.arccos(np.clip(cosine, -1, 1))), float(min(-low, high)))
    return [
        np.array([np.arctan2(y, x) - np.arctan2(lower * np.sin(w), upper + lower * np.cos(w)), w])
        for w in (bend, -bend)
    ]


def _wrapped(angle: float) -> float:
    """The same angle within ±π."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
