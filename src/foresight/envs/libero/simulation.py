"""The simulator below a task of LIBERO: built once, set to any beginning, stepped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from foresight.core.errors import ForesightError
from foresight.envs.libero.packages import bddl_file, load

STATE_SIZE = 216
"""Numbers of a state; the task with most objects needs 214."""
JOINT_NOISE = 0.02
"""Standard deviation of the arm's joints as an episode begins, radians: robosuite's own."""
STILL = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0])
"""No motion, the gripper open."""
TRIES = 100
"""Draws of robosuite's places for objects, each of which may find no room."""


class Simulation:
    """One task's model and its state.

    Numbers are those of LIBERO's own environment, step for step; a test compares them. What that
    does besides is left out: its observations after every 2 ms, its pictures.

    Args:
        suite, name: of the task.

    Attributes:
        upstream: LIBERO's environment (robosuite's ``MujocoEnv``).
        success: whether the task's goal holds.

    Raises:
        ForesightError: packages or files are missing.
    """

    def __init__(self, suite: str, name: str) -> None:
        envs = load()
        path = str(bddl_file(suite, name))
        with numpy_seeded(0):
            self.upstream: Any = envs.env_wrapper.ControlEnv(
                bddl_file_name=path,
                use_camera_obs=False,
                has_offscreen_renderer=False,
                hard_reset=False,
                ignore_done=True,
            ).env
        self.success = False
        self.robot: Any = self.upstream.robots[0]
        self.model: Any = self.upstream.sim.model._model
        self.data: Any = self.upstream.sim.data._data
        self._unplaced = dict(self._as_written())
        self._control_steps = round(self.upstream.control_timestep / self.upstream.model_timestep)
        import mujoco

        if mujoco.mj_stateSize(self.model, _kind()) + self._inner().size > STATE_SIZE:
            raise ForesightError(
                f"The state of libero/{suite}/{name} has more than {STATE_SIZE} numbers: use the "
                "versions of LIBERO and MuJoCo that docs/libero.md names."
            )

    def restart(self, joint_noise: float = 0.0) -> None:
        """Place everything anew, as LIBERO does, from NumPy's global generator.

        Args:
            joint_noise: standard deviation of the arm's joints, radians.

        Raises:
            ForesightError: there is no room for an object.
        """
        from robosuite.utils.errors import RandomizationError

        self.robot.initialization_noise = {"magnitude": joint_noise, "type": "gaussian"}
        self.robot.gripper.current_action = np.zeros(self.robot.gripper.dof)  # robosuite keeps it
        for body, (place, turn) in self._unplaced.items():
            # What is put on or into a fixture is placed relative to where that stands before.
            self.model.body_pos[body], self.model.body_quat[body] = place, turn
        for _ in range(TRIES):
            with contextlib.suppress(RandomizationError):
                self.upstream.reset()
                self._look()
                return
        raise ForesightError(
            f"No room was found for the objects of {self.upstream.bddl_file_name} in {TRIES} tries."
        )

    def set_row(self, row: Float64[np.ndarray, " R"]) -> None:
        """Set time, positions and velocities.

        Raises:
            ForesightError: the row belongs to another model.
        """
        wanted = 1 + self.model.nq + self.model.nv
        if row.shape != (wanted,):
            raise ForesightError(
                f"A state to begin with has {wanted} numbers here, not an array of shape "
                f"{row.shape}: the benchmark's states and its scenes are of different versions."
            )
        self.upstream.sim.set_state_from_flattened(row)
        self.upstream.sim.forward()
        self._look()

    def row(self) -> Float64[np.ndarray, " R"]:
        """Time, positions and velocities, as `set_row` takes them."""
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    def step(self, action: Float64[np.ndarray, "7"]) -> None:
        """One decision: the controller sets torques every 2 ms for a twentieth of a second."""
        for count in range(self._control_steps):
            self.upstream.sim.forward()
            self.upstream._pre_action(action, policy_step=count == 0)
            self.upstream.sim.step()
        self._look()

    def feel(self) -> Float32[np.ndarray, "8"]:
        """Position of the grip site (m), the hand's orientation (axis times angle, rad), both
        fingers (m); the numbers of LeRobot's ``observation.state`` for LIBERO.
        """
        hand = self.data.body(self.robot.robot_model.eef_name).xquat
        place = self.data.site_xpos[self.robot.eef_site_id]
        fingers = self.data.qpos[self.robot._ref_gripper_joint_pos_indexes]
        return np.concatenate([place, axis_angle(hand), fingers]).astype(np.float32)

    def objects(self) -> dict[str, Any]:
        """Name to robosuite's model of what can be moved about, in the task's order."""
        return dict(self.upstream.objects_dict)

    def places(self) -> dict[str, Float64[np.ndarray, "3"]]:
        """Where the hand, objects and fixtures are, metres."""
        found = {"hand": np.array(self.data.site_xpos[self.robot.eef_site_id])}
        for name, number in self.upstream.obj_body_id.items():
            found[name] = np.array(self.data.xpos[number])
        return found

    def get_state(self) -> Float64[np.ndarray, " 216"]:
        """MuJoCo's state with the controls and the solver's warm start, and the controller's;
        zeros behind.
        """
        import mujoco

        state, size = np.zeros(STATE_SIZE), mujoco.mj_stateSize(self.model, _kind())
        mujoco.mj_getState(self.model, self.data, state[:size], _kind())
        inner = self._inner()
        state[size : size + inner.size] = inner
        return state

    def set_state(self, state: Float64[np.ndarray, " 216"]) -> None:
        """Put everything back that `get_state` has read."""
        import mujoco

        size, arm = mujoco.mj_stateSize(self.model, _kind()), self.robot.controller
        mujoco.mj_setState(self.model, self.data, state[:size], _kind())
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, state[:size], _kind())  # the warm start moved on
        inner = state[size:]
        arm.goal_ori = inner[:9].reshape(3, 3).copy()
        arm.initial_joint = inner[9:16].copy()
        self.robot.gripper.current_action = inner[16:18].copy()
        arm.new_update = True
        self._look()

    def _look(self) -> None:
        """What follows from a new state: success as LIBERO judges it, and then where things are.

        After a step MuJoCo's places are those of 2 ms before. LIBERO judges by them; pictures and
        the hand's place are to be of now. The physics is not touched by this.
        """
        import mujoco

        self.upstream._post_process()
        self.success = bool(self.upstream._check_success())
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def _as_written(self) -> Iterator[tuple[int, tuple[Any, Any]]]:
        """Body of each fixture to its place and turn in the model's text."""
        for fixture in self.upstream.fixtures_dict.values():
            for body in self.upstream.model.worldbody.findall("./body"):
                if body.get("name") == fixture.root_body:
                    place = np.array(body.get("pos", "0 0 0").split(), np.float64)
                    turn = np.array(body.get("quat", "1 0 0 0").split(), np.float64)
                    yield self.model.body(fixture.root_body).id, (place, turn)

    def _inner(self) -> Float64[np.ndarray, "18"]:
        """What the controller keeps from one decision to the next: an orientation that it holds
        while none is asked for, the pose that it prefers, and the gripper's target.
        """
        arm = self.robot.controller
        grip = np.broadcast_to(self.robot.gripper.current_action, 2)
        return np.concatenate([np.ravel(arm.goal_ori), arm.initial_joint, grip])


@contextlib.contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """Let robosuite draw from NumPy's global generator, and give that back as it was."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def axis_angle(quaternion: Float64[np.ndarray, "4"]) -> Float64[np.ndarray, "3"]:
    """A rotation's axis times its angle, from 0 to 2 pi.

    The angle is not brought below pi, as robosuite and LeRobot do not: the hand looks down, where
    the angle is close to pi, and numbers would jump.

    Args:
        quaternion: (w, x, y, z), of length 1.
    """
    w = float(np.clip(quaternion[0], -1.0, 1.0))
    sine = np.sqrt(1.0 - w * w)
    if sine < 1e-9:
        return np.zeros(3)
    return np.asarray(quaternion[1:]) * (2.0 * np.arccos(w) / sine)


def _kind() -> int:
    from mujoco import mjtState

    kinds = (mjtState.mjSTATE_FULLPHYSICS, mjtState.mjSTATE_WARMSTART, mjtState.mjSTATE_CTRL)
    return sum(kind.value for kind in kinds)
