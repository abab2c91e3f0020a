"""What the arrays of a file mean: LIBERO's keys, robomimic's keys, and what its attributes add."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec, numbered_axes
from foresight.data.hdf5.files import attribute, faulty, member, whole
from foresight.data.hdf5.options import ImportOptions
from foresight.data.hdf5.timing import Observed, Timing, measure

Kind = Literal["LIBERO", "robomimic"]
LIBERO_KEYS = {"ee_pos", "ee_ori", "gripper_states", "joint_states"}
PICTURE_ENDS = ("_rgb", "_image")
POSE_CONTROLLER = "OSC_POSE"
POSE_ACTION = ("delta_x", "delta_y", "delta_z", "delta_rx", "delta_ry", "delta_rz", "gripper")
RATE = 20.0
"""Decisions a second of LIBERO and of robosuite's own default."""


@dataclass(frozen=True)
class Part:
    """Some numbers of the state.

    Attributes:
        key: below the demonstration.
        names: of its numbers; for a quaternion of the three that it becomes.
        unit: of each.
        quaternion: whether it is one, (x, y, z, w).
    """

    key: str
    names: tuple[str, ...]
    unit: str | None = None
    quaternion: bool = False

    @property
    def width(self) -> int:
        """Numbers in the file."""
        return 4 if self.quaternion else len(self.names)


@dataclass(frozen=True)
class Layout:
    """What holds for all demonstrations of a file.

    Attributes:
        path: of the file.
        kind: whose keys it has.
        cameras: name to (key, (height, width)).
        parts: of the state, in order.
        action: axes.
        fps: steps a second.
        task: what was to be done, where a demonstration does not say it itself.
        observed: before or after the action of its row.
        timing: what was measured of it, where it could be.
        turned: whether pictures are turned upright.
        rewards: whether there are any.
        judged: by what a demonstration's success is told.
        options: what was asked for.
    """

    path: Path
    kind: Kind
    cameras: Mapping[str, tuple[str, tuple[int, int]]]
    parts: tuple[Part, ...]
    action: tuple[Axis, ...]
    fps: float
    task: str
    observed: Observed
    timing: Timing | None
    turned: bool
    rewards: bool
    judged: Literal["success", "rewards"] | None
    options: ImportOptions

    @cached_property
    def spec(self) -> Spec:
        """Of the episodes."""
        cameras = {name: size for name, (_, size) in self.cameras.items()}
        state = tuple(Axis(name, part.unit) for part in self.parts for name in part.names)
        return Spec(cameras, state, self.action, self.fps)


def read_layout(demos: Sequence[Any], data: Any, path: Path, options: ImportOptions) -> Layout:
    """Read a file's layout off its first demonstrations.

    Args:
        demos: groups of demonstrations, at least one that is not empty; the first one decides.
        data: the group above them.
        path: of the file.
        options: what was asked for.

    Raises:
        FaultyError: keys of neither kind, or arrays of other shapes than theirs.
        ForesightError: a camera was asked for that there is none of.
    """
    demo = demos[0]
    obs = demo.get("obs")
    if obs is None or not hasattr(obs, "keys"):
        raise faulty(
            demo,
            "there is no obs, only actions and simulator states, so observations have to be made "
            "of them first, with robomimic's dataset_states_to_obs.py",
        )
    keys = sorted(obs)
    kind, robots = _kind(demo, keys)
    environment = attribute(data, "env_args")
    details = environment if isinstance(environment, dict) else {}
    settings = details.get("env_kwargs")
    settings = settings if isinstance(settings, dict) else {}
    timing = next(_timings(demos, kind, robots), None)
    observed: Observed = "after" if kind == "LIBERO" else "before"
    if options.observed != "auto":
        observed = options.observed
    elif timing is not None:
        observed = timing.observed
    shaped = kind == "robomimic" and bool(settings.get("reward_shaping"))
    rewards = "rewards" in demo
    marked = "success" in demo or "success" in demo.attrs
    return Layout(
        path=path,
        kind=kind,
        cameras=_cameras(demo, keys, options.cameras),
        parts=tuple(_parts(demo, keys, kind, robots, options.joints)),
        action=_action(demo, robots, settings, options.unbounded),
        fps=options.fps or _rate(settings),
        task=options.task or _task(data, details, path),
        observed=observed,
        timing=timing,
        turned=_turned(data, kind, options.upside_down),
        rewards=rewards,
        judged="success" if marked else "rewards" if rewards and not shaped else None,
        options=options,
    )


def _kind(demo: Any, keys: list[str]) -> tuple[Kind, list[str]]:
    """Whose keys they are, and the robots' prefixes in robomimic's."""
    if LIBERO_KEYS & set(keys):
        return "LIBERO", [""]
    found = {match[1] for key in keys if (match := re.match(r"(robot\d+_)eef_pos$", key))}
    if not found:
        raise faulty(
            demo,
            f"obs holds {', '.join(keys) or 'nothing'} where LIBERO's ee_pos, ee_ori and "
            "gripper_states or robomimic's robot0_eef_pos, robot0_eef_quat and "
            "robot0_gripper_qpos are expected",
        )
    return "robomimic", sorted(found)


def _joint_key(kind: Kind, robot: str) -> str:
    return "obs/joint_states" if kind == "LIBERO" else f"obs/{robot}joint_pos"


def _parts(
    demo: Any, keys: list[str], kind: Kind, robots: list[str], joints: bool
) -> Iterator[Part]:
    """The parts of the state; a lone robot's numbers need no prefix."""
    for robot in robots:
        before = robot if len(robots) > 1 else ""
        place = tuple(before + name for name in ("x", "y", "z"))
        turn = tuple(before + name for name in ("rx", "ry", "rz"))
        if kind == "LIBERO":
            yield Part("obs/ee_pos", place, "m")
            yield Part("obs/ee_ori", turn, "rad")
            gripper = "obs/gripper_states"
        else:
            yield Part(f"obs/{robot}eef_pos", place, "m")
            yield Part(f"obs/{robot}eef_quat", turn, "rad", quaternion=True)
            gripper = f"obs/{robot}gripper_qpos"
        yield Part(gripper, _numbered(demo, gripper, f"{before}gripper"))
        arm = _joint_key(kind, robot)
        if joints and arm.removeprefix("obs/") in keys:
            yield Part(arm, _numbered(demo, arm, f"{before}joint"), "rad")


def _numbered(demo: Any, key: str, name: str) -> tuple[str, ...]:
    shape = member(demo, key).shape
    if len(shape) != 2 or shape[1] < 1:
        raise faulty(demo, f"{key} has shape {list(shape)} where [steps, numbers] is expected")
    return tuple(f"{name}_{i}" for i in range(shape[1]))


def _cameras(
    demo: Any, keys: list[str], wanted: tuple[str, ...] | None
) -> dict[str, tuple[str, tuple[int, int]]]:
    """Name to key and size, of all cameras or of those that were asked for."""
    found = {}
    for key in keys:
        end = next((end for end in PICTURE_ENDS if key.endswith(end) and key != end), None)
        if end is None:
            continue
        height, width = picture_size(demo, f"obs/{key}")
        found[key.removesuffix(end)] = (f"obs/{key}", (height, width))
    if wanted is None:
        return found
    for name in wanted:
        if name not in found:
            there = ", ".join(found) or "no camera"
            raise ForesightError(
                f"{demo.file.filename} has no camera {name!r}: it holds {there}, choose of these."
            )
    return {name: found[name] for name in wanted}


def picture_size(demo: Any, key: str) -> tuple[int, int]:
    """Height and width in pixels.

    Raises:
        FaultyError: it is no array of uint8 RGB pictures.
    """
    array = member(demo, key)
    shape = tuple(array.shape)
    if array.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape[1:]:
        raise faulty(
            demo,
            f"{key} is {array.dtype} {list(shape)} where uint8 [steps, height, width, 3] is "
            "expected",
        )
    return int(shape[1]), int(shape[2])


def _action(
    demo: Any, robots: list[str], settings: Mapping[str, Any], unbounded: bool
) -> tuple[Axis, ...]:
    """Axes of the action: named where it moves a hand, else numbered."""
    width = len(_numbered(demo, "actions", "action"))
    bound = float("inf") if unbounded else 1.0
    kinds = set(_controllers(settings.get("controller_configs")))
    if unbounded or width != len(robots) * len(POSE_ACTION) or kinds - {POSE_CONTROLLER}:
        return numbered_axes("action", width, [-bound] * width, [bound] * width)
    names = [(robot if len(robots) > 1 else "") + name for robot in robots for name in POSE_ACTION]
    return tuple(Axis(name, None, -bound, bound) for name in names)


def _controllers(settings: Any) -> Iterator[str]:
    """Types of the arms' controllers; newer robosuite has them below ``body_parts``."""
    for one in settings if isinstance(settings, list) else [settings]:
        if not isinstance(one, dict):
            continue
        parts = one.get("body_parts")
        if isinstance(parts, dict):
            arms = [parts[name] for name in ("right", "left") if name in parts]
            yield from _controllers(arms or list(parts.values()))
        elif isinstance(one.get("type"), str):
            yield one["type"]


def _rate(settings: Mapping[str, Any]) -> float:
    noted = settings.get("control_freq")
    return float(noted) if isinstance(noted, int | float) and 0 < noted < 1e4 else RATE


def _turned(data: Any, kind: Kind, asked: str) -> bool:
    """Whether pictures lie upside down: LIBERO keeps OpenGL's rows, robomimic has turned them."""
    if asked != "auto":
        return asked == "yes"
    noted = attribute(data, "macros_image_convention")
    return noted != "opencv" if kind == "LIBERO" else False


def _task(data: Any, details: Mapping[str, Any], path: Path) -> str:
    """The instruction that the file notes, or what its name or its environment's says."""
    problem = attribute(data, "problem_info")
    words = instruction(problem.get("language_instruction") if isinstance(problem, dict) else None)
    if words:
        return words
    if path.stem.endswith("_demo"):
        name = re.sub(r"^[A-Z_]+SCENE\d+_", "", path.stem.removesuffix("_demo"))
        return name.replace("_", " ").strip()
    return instruction(details.get("env_name")) or path.stem.replace("_", " ")


def instruction(noted: Any) -> str:
    """A text as files hold it: with quotes around it, or in pieces."""
    if isinstance(noted, list | tuple) and all(isinstance(part, str) for part in noted):
        noted = ("" if all(len(part) == 1 for part in noted) else " ").join(noted)
    return noted.strip().strip("\"'").strip() if isinstance(noted, str) else ""


def _timings(demos: Sequence[Any], kind: Kind, robots: list[str]) -> Iterator[Timing]:
    """What the demonstrations' numbers say of their timing, where they say anything."""
    key = _joint_key(kind, robots[0])
    for demo in demos:
        if "states" not in demo or key not in demo:
            continue
        states, joints = whole(demo, "states"), whole(demo, key)
        if states.ndim == 2 and joints.ndim == 2:
            found = measure(states, joints)
            if found is not None:
                yield found
