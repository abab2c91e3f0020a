"""One demonstration as an episode: checked, paired, turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from foresight.core.episode import Episode
from foresight.data.encoding import hash_arrays
from foresight.data.hdf5.files import attribute, faulty, member, whole
from foresight.data.hdf5.layout import Layout, Part, instruction, picture_size
from foresight.data.hdf5.rotation import axis_angle

UNIT = 1e-2
"""How far the length of a quaternion may be from 1."""
BEYOND = 1e-5
"""By how much an action may exceed its bounds: 32-bit rounding."""
IMPORTED = "imported"
"""Where an episode's info says which demonstration it was."""


@dataclass(frozen=True)
class Numbers:
    """A demonstration without its pictures; rows are steps of the episode.

    Attributes:
        state: ``[T, P]``.
        action: ``[T, A]``.
        reward: ``[T]``, or None.
        success: whether the task was done, where the file tells.
        terminated: whether the demonstration ended because it was.
        rows: those of observations in the file.
        task: what was to be done.
        sim_state: of the simulator ``[T, S]``, where it was asked for.
        identity: hash of the actions as they are in the file.
    """

    state: Float64[np.ndarray, "T P"]
    action: Float64[np.ndarray, "T A"]
    reward: Float64[np.ndarray, " T"] | None
    success: bool | None
    terminated: bool
    rows: slice
    task: str
    sim_state: Float64[np.ndarray, "T S"] | None
    identity: str

    def __len__(self) -> int:
        """T, the steps of the episode; 0 where there would be none."""
        return len(self.action)


def is_empty(demo: Any) -> bool:
    """Whether a demonstration has no row."""
    actions = member(demo, "actions")
    return bool(actions.shape[0] == 0)


def read_numbers(demo: Any, layout: Layout) -> Numbers:
    """Read and check all but the pictures.

    Raises:
        FaultyError: an array is missing, cannot be read, differs in length, has another shape than
            the file's other demonstrations, holds what is not finite, or an action is beyond its
            bounds.
    """
    action = _numeric(demo, "actions", len(layout.action))
    steps = len(action)
    low, high = layout.spec.low, layout.spec.high
    beyond = np.argwhere((action > high + BEYOND) | (action < low - BEYOND))
    if len(beyond):
        row, number = (int(i) for i in beyond[0])
        raise faulty(
            demo,
            f"actions holds {action[row, number]:g} at row {row}, number {number}, where -1 to 1 "
            "is expected (--unbounded takes any)",
        )
    _check_lengths(demo, layout, steps)
    # Observations of rows 0 to T - 2 show what actions of rows 1 to T - 1 were chosen by.
    first = 1 if layout.observed == "after" and steps else 0
    rows = slice(0, steps - first)
    state = np.concatenate([_part(demo, part) for part in layout.parts], axis=1)
    reward = _numeric(demo, "rewards", None) if layout.rewards else None
    success = _success(demo, layout, reward)
    sim = _numeric(demo, "states", 0) if layout.options.sim_state else None
    return Numbers(
        state=state[rows],
        action=action[first:],
        reward=None if reward is None else reward[first:],
        success=success,
        terminated=bool(success) and _done(demo),
        rows=rows,
        task=_task(demo, layout),
        sim_state=None if sim is None else sim[first:],
        identity=hash_arrays({"actions": action}),
    )


def read_episode(demo: Any, layout: Layout) -> Episode:
    """A demonstration with its pictures.

    Raises:
        FaultyError: as :func:`read_numbers`, or pictures that cannot be read.
    """
    numbers = read_numbers(demo, layout)
    return Episode(
        images={
            name: _pictures(demo, key, numbers.rows, layout.turned)
            for name, (key, _) in layout.cameras.items()
        },
        state=numbers.state.astype(np.float32),
        action=numbers.action.astype(np.float32),
        reward=None if numbers.reward is None else numbers.reward.astype(np.float32),
        terminated=numbers.terminated,
        task=numbers.task,
        fps=layout.fps,
        success=numbers.success,
        columns={} if numbers.sim_state is None else {"sim.state": numbers.sim_state},
        info=info_of(demo, layout, numbers),
    )


def info_of(demo: Any, layout: Layout, numbers: Numbers) -> dict[str, Any]:
    """What an episode's info says of where it came from."""
    name = demo.name.rpartition("/")[2]
    return {
        "layout": layout.kind,
        "file": layout.path.name,
        "observed": layout.observed,
        "turned": layout.turned,
        IMPORTED: {"demo": name, "actions": numbers.identity},
    }


def _check_lengths(demo: Any, layout: Layout, steps: int) -> None:
    keys = [part.key for part in layout.parts]
    keys += [key for key, _ in layout.cameras.values()]
    keys += ["rewards"] * layout.rewards + ["dones"] * ("dones" in demo)
    keys += ["states"] * layout.options.sim_state
    for key in keys:
        length = int(member(demo, key).shape[0])
        if length != steps:
            raise faulty(demo, f"{key} has {length} rows and actions {steps}, which should agree")
    for name, (key, size) in layout.cameras.items():
        found = picture_size(demo, key)
        if found != size:
            raise faulty(
                demo,
                f"{key} holds pictures of {found[0]}x{found[1]} pixels where camera {name} has "
                f"{size[0]}x{size[1]} in other demonstrations",
            )


def _numeric(demo: Any, key: str, width: int | None) -> Float64[np.ndarray, "T ..."]:
    """An array of finite numbers: ``[T]`` for width None, ``[T, any]`` for 0, else ``[T, width]``.

    A column ``[T, 1]`` passes for ``[T]``.
    """
    values = whole(demo, key)
    if values.dtype.kind not in "fiub":
        raise faulty(demo, f"{key} is {values.dtype} where numbers are expected")
    if width is None and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    wanted = "[steps]" if width is None else f"[steps, {width or 'numbers'}]"
    fits = values.ndim == (1 if width is None else 2)
    if not fits or (width and values.shape[1] != width):
        raise faulty(demo, f"{key} has shape {list(values.shape)} where {wanted} is expected")
    found = values.astype(np.float64)
    wrong = np.argwhere(~np.isfinite(found))
    if len(wrong):
        row, *rest = (int(i) for i in wrong[0])
        where = f", number {rest[0]}" if rest else ""
        raise faulty(demo, f"{key} holds {found[(row, *rest)]} at row {row}{where}")
    return found


def _part(demo: Any, part: Part) -> Float64[np.ndarray, "T n"]:
    values = _numeric(demo, part.key, part.width)
    if not part.quaternion:
        return values
    lengths = np.linalg.norm(values, axis=1)
    wrong = np.flatnonzero(np.abs(lengths - 1) > UNIT)
    if len(wrong):
        row = int(wrong[0])
        raise faulty(
            demo,
            f"{part.key} has length {lengths[row]:g} at row {row} where a quaternion of length 1 "
            "is expected",
        )
    return axis_angle(values)


def _pictures(demo: Any, key: str, rows: slice, turned: bool) -> UInt8[np.ndarray, "T H W 3"]:
    frames = whole(demo, key, rows)
    return np.ascontiguousarray(frames[:, ::-1]) if turned else frames


def _success(demo: Any, layout: Layout, reward: Float64[np.ndarray, " T"] | None) -> bool | None:
    """What the file notes of the demonstration, or whether it was rewarded."""
    if layout.judged == "rewards":
        return bool(reward is not None and (reward > 0).any())
    if layout.judged is None:
        return None
    noted = demo["success"][()] if "success" in demo else attribute(demo, "success")
    if noted is None:
        raise faulty(demo, "there is no success, which other demonstrations note")
    return bool(np.asarray(noted).any())


def _done(demo: Any) -> bool:
    """Whether the last row ends the demonstration; a file that does not say means it does."""
    return "dones" not in demo or bool(np.asarray(demo["dones"][-1]).any())


def _task(demo: Any, layout: Layout) -> str:
    """The demonstration's own instruction (RoboCasa notes one), or the file's."""
    noted = attribute(demo, "ep_meta")
    words = instruction(noted.get("lang")) if isinstance(noted, dict) else ""
    return layout.options.task or words or layout.task
