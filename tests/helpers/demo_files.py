"""HDF5 files of demonstrations as LIBERO and robomimic write them, small."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

INSTRUCTION = "pick up the black bowl and place it on the plate"
NAME = "pick_up_the_black_bowl_and_place_it_on_the_plate_demo.hdf5"
SIZE = (16, 24)
OBJECTS = 4
"""Numbers of a simulator's state beside time and the arm's joints."""


@dataclass
class Robot:
    """What a simulated arm did in one demonstration of T actions.

    Attributes:
        action: ``[T, 7]``.
        joints: ``[T + 1, 7]``, before the first action, ..., after the last.
        places: of the hand, ``[T + 1, 3]``.
        turns: of the hand.
        grippers: ``[T + 1, 2]``.
        states: of the simulator ``[T + 1, 8 + OBJECTS]``: time, joints, the rest.
        pictures: upright ones by camera, ``[T + 1, H, W, 3]``: the upper half is bright, and the
            step stands in every pixel of it.
    """

    steps: int
    seed: int = 0
    size: tuple[int, int] = SIZE

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        count = self.steps + 1
        self.action = random.uniform(-1, 1, (self.steps, 7))
        self.action[:, 6] = np.where(np.arange(self.steps) < self.steps / 2, -1, 1)
        self.joints = np.cumsum(random.normal(0, 0.05, (count, 7)), 0)
        self.places = np.cumsum(random.normal(0, 0.01, (count, 3)), 0)
        self.turns = Rotation.from_rotvec(
            np.array([np.pi - 0.1, 0, 0]) + np.cumsum(random.normal(0, 0.03, (count, 3)), 0)
        )
        self.grippers = random.uniform(0, 0.04, (count, 2))
        time = np.arange(count)[:, None] / 20
        rest = random.normal(size=(count, OBJECTS))
        self.states = np.concatenate([time, self.joints, rest], 1)

    def pictures(self, camera: int = 0) -> np.ndarray:
        """Upright pictures of a camera."""
        height, width = self.size
        found = np.full((self.steps + 1, height, width, 3), 10 + 40 * camera, np.uint8)
        found[:, : height // 2] = step_level(np.arange(self.steps + 1))[:, None, None, None]
        return found


def step_level(step: np.ndarray) -> np.ndarray:
    """Grey level of a step's picture, at most 20 of them."""
    return 60 + 9 * step


@dataclass
class DemoFile:
    """A file; its fields can be changed before :meth:`write`.

    Attributes:
        lengths: steps of each demonstration.
        numbers: what stands behind ``demo_``.
        attrs: of the group ``data``.
    """

    lengths: list[int] = field(default_factory=lambda: [6, 9, 7])
    numbers: list[int] = field(default_factory=lambda: [0, 2, 10])
    seed: int = 0
    size: tuple[int, int] = SIZE
    attrs: dict[str, Any] = field(default_factory=dict)

    def robot(self, index: int) -> Robot:
        return Robot(self.lengths[index], 100 * self.seed + index, self.size)

    def robots(self) -> list[Robot]:
        return [self.robot(i) for i in range(len(self.lengths))]

    def write(self, path: Path) -> Path:
        """Write it; what stands there already is replaced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            data = file.create_group("data")
            for name, value in (self.about() | self.attrs).items():
                if value is not None:
                    data.attrs[name] = value
            for number, robot in zip(self.numbers, self.robots(), strict=True):
                group = data.create_group(f"demo_{number}")
                group.attrs["num_samples"] = str(robot.steps)
                for key, value in self.arrays(robot).items():
                    group.create_dataset(key, data=value)
        return path

    def about(self) -> dict[str, Any]:
        raise NotImplementedError

    def arrays(self, robot: Robot) -> dict[str, np.ndarray]:
        raise NotImplementedError


class LiberoFile(DemoFile):
    """As LIBERO's own: observations after their action, OpenGL's rows, axis-angle."""

    after = 1

    def about(self) -> dict[str, Any]:
        settings = {
            "env_name": "Libero_Tabletop_Manipulation",
            "env_kwargs": {
                "control_freq": 20,
                "reward_shaping": True,
                "controller_configs": {"type": "OSC_POSE"},
            },
        }
        return {
            "env_args": json.dumps(settings),
            "problem_info": json.dumps({"language_instruction": INSTRUCTION}),
            "macros_image_convention": "opengl",
            "num_demos": len(self.lengths),
        }

    def arrays(self, robot: Robot) -> dict[str, np.ndarray]:
        seen = slice(self.after, self.after + robot.steps)
        last = (np.arange(robot.steps) == robot.steps - 1).astype(np.uint8)
        turns = robot.turns[seen]
        hand = np.concatenate([robot.places[seen], turns.as_quat()], 1)
        return {
            "actions": robot.action,
            "states": robot.states[: robot.steps],
            "robot_states": np.concatenate([robot.grippers[seen], hand], 1),
            "rewards": last,
            "dones": last,
            "obs/agentview_rgb": robot.pictures(0)[seen, ::-1],
            "obs/eye_in_hand_rgb": robot.pictures(1)[seen, ::-1],
            "obs/ee_pos": robot.places[seen],
            "obs/ee_ori": turns.as_rotvec(),
            "obs/ee_states": np.concatenate([robot.places[seen], turns.as_rotvec()], 1),
            "obs/gripper_states": robot.grippers[seen],
            "obs/joint_states": robot.joints[seen],
        }


class ReplayedFile(LiberoFile):
    """As others made of LIBERO's: its keys, but observations before their action."""

    after = 0


class RobomimicFile(DemoFile):
    """As robomimic's: observations before their action, upright pictures, quaternions."""

    def about(self) -> dict[str, Any]:
        settings = {
            "env_name": "Lift",
            "env_kwargs": {"control_freq": 10, "controller_configs": {"type": "OSC_POSE"}},
        }
        return {"env_args": json.dumps(settings), "total": sum(self.lengths)}

    def arrays(self, robot: Robot) -> dict[str, np.ndarray]:
        seen = slice(0, robot.steps)
        last = (np.arange(robot.steps) == robot.steps - 1).astype(np.float64)
        return {
            "actions": robot.action,
            "states": robot.states[seen],
            "rewards": last,
            "dones": last,
            "obs/agentview_image": robot.pictures(0)[seen],
            "obs/robot0_eye_in_hand_image": robot.pictures(1)[seen],
            "obs/robot0_eef_pos": robot.places[seen],
            "obs/robot0_eef_quat": robot.turns[seen].as_quat(),
            "obs/robot0_gripper_qpos": robot.grippers[seen],
            "obs/robot0_joint_pos": robot.joints[seen],
            "obs/object": robot.states[seen, 8:],
            "next_obs/robot0_eef_pos": robot.places[1:],
        }
