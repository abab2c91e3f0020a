"""Where an episode of LIBERO begins: the benchmark's own states, drawn places, or wider ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.envs.libero.simulation import JOINT_NOISE, STILL, Simulation, numpy_seeded

SETTLE = 10
"""Decisions for which things come to rest before an episode, as the benchmark's users have it:
objects begin a few centimetres above the table."""
REST = 5
"""The same after things that were at rest have been moved."""
SPREAD = 0.06
"""Metres by which ``wide`` moves what a task is about along x and y, at the most."""
OTHERS = 1 / 3
"""The part of that by which it moves the other things."""
CLEARANCE = 0.015
"""Metres that stay free between things that were moved: a finger's width."""
REACH = 0.8
"""Metres from the arm's base, seen from above, which things are not moved beyond."""
DRIFT, TILT, FALL = 0.03, 0.3, 0.3
"""How far a thing may slide (m), lean (rad) and drop (m) as it comes to rest; more was knocked
over, or fell off the table. Things on other things begin up to 17 cm too high."""
DRAWS = 60
"""Tries for places that come to rest, and for each of them tries of moving things."""


@dataclass(frozen=True)
class Beginning:
    """How an episode begins.

    Attributes:
        kind: ``row``, ``drawn`` or ``wide``; see `foresight.envs.libero.tasks.Protocol`.
        rows: the benchmark's states, where they are used.
        spread: metres by which ``wide`` moves things.
    """

    kind: Literal["row", "drawn", "wide"]
    rows: Float64[np.ndarray, "N S"] | None = None
    spread: float = SPREAD


def begin(sim: Simulation, beginning: Beginning, seed: int) -> None:
    """Bring a simulation to where the episode of a seed begins, at rest.

    Raises:
        ForesightError: no places were found that come to rest.
    """
    if beginning.rows is not None:
        with numpy_seeded(0):  # places of fixtures, which are no part of a row
            sim.restart()
        sim.set_row(beginning.rows[seed % len(beginning.rows)])
        _settle(sim, SETTLE)
        return
    random = np.random.default_rng([seed, 11])
    for _ in range(DRAWS):
        with numpy_seeded(int(random.integers(2**32))):
            sim.restart(JOINT_NOISE)
        before = _poses(sim)
        _settle(sim, SETTLE)
        if not _calm(before, _poses(sim), DRIFT) or sim.success:
            continue
        if beginning.kind == "drawn" or _spread_out(sim, random, beginning.spread):
            return
    raise ForesightError(
        f"No places for the things of {sim.upstream.bddl_file_name} were found in {DRAWS} tries: "
        f"choose a smaller spread than {beginning.spread} m."
    )


def _settle(sim: Simulation, steps: int) -> None:
    for _ in range(steps):
        sim.step(STILL)


def _spread_out(sim: Simulation, random: np.random.Generator, spread: float) -> bool:
    """Move what stands on the table, each stack as a whole; whether it worked."""
    at_rest, stacks = sim.row(), _stacks(sim)
    wanted = set(sim.upstream.obj_of_interest)
    for _ in range(DRAWS):
        sim.set_row(at_rest)
        for stack in stacks:
            most = spread if wanted & stack else spread * OTHERS
            _move(sim, stack, random.uniform(-most, most, 2))
        if not (_within_reach(sim, at_rest) and _apart(sim, stacks)):
            continue
        before = _poses(sim)
        _settle(sim, REST)
        if _calm(before, _poses(sim), DRIFT / 3) and not sim.success:
            return True
    return False


def _poses(sim: Simulation) -> dict[str, tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]]:
    """Place and upward axis of each movable thing."""
    found = {}
    for name in sim.objects():
        body = sim.upstream.obj_body_id[name]
        found[name] = (sim.data.xpos[body].copy(), sim.data.xmat[body].reshape(3, 3)[2].copy())
    return found


def _calm(before: dict, after: dict, drift: float) -> bool:  # type: ignore[type-arg]
    """Whether nothing slid, rolled or fell over, or off the table."""
    for name, (place, up) in before.items():
        now, up_now = after[name]
        if np.linalg.norm(now[:2] - place[:2]) > drift or now[2] < place[2] - FALL:
            return False
        if np.arccos(np.clip(up @ up_now, -1, 1)) > TILT:
            return False
    return True


def _stacks(sim: Simulation) -> list[set[str]]:
    """Things that touch each other, together; without those that touch a fixture."""
    owner = _owners(sim)
    stacks = [{name} for name in sim.objects()]
    held: set[str] = set()
    for one, other in _touching(sim, owner):
        movable = [name for name in (one, other) if name in sim.objects()]
        if len(movable) == 1:
            held.update(movable)
        elif len(movable) == 2:
            both = [stack for stack in stacks if stack & {one, other}]
            stacks = [stack for stack in stacks if stack not in both] + [set().union(*both)]
    return [stack for stack in stacks if not stack & held]


def _owners(sim: Simulation) -> dict[int, str]:
    """Body at the root of a tree to the object or fixture that it is; table and floor are none."""
    roots = {
        int(sim.model.body_rootid[body]): name for name, body in sim.upstream.obj_body_id.items()
    }
    arm = sim.model.body(sim.robot.robot_model.root_body).id
    return roots | {int(sim.model.body_rootid[arm]): "hand"}


def _touching(sim: Simulation, owner: dict[int, str]) -> set[tuple[str, str]]:
    found = set()
    for first, second in sim.data.contact.geom[: sim.data.ncon]:
        bodies = (sim.model.body_rootid[sim.model.geom_bodyid[geom]] for geom in (first, second))
        one, other = (owner.get(int(body), "") for body in bodies)
        if one and other and one != other:
            found.add((min(one, other), max(one, other)))
    return found


def _move(sim: Simulation, stack: set[str], shift: Float64[np.ndarray, "2"]) -> None:
    for name in stack:
        first = sim.model.joint(sim.objects()[name].joints[-1]).qposadr[0]
        sim.data.qpos[first : first + 2] += shift


def _within_reach(sim: Simulation, at_rest: Float64[np.ndarray, " R"]) -> bool:
    """Whether nothing that was within reach has been moved out of it."""
    base = sim.data.body(sim.robot.robot_model.root_body).xpos[:2]
    for thing in sim.objects().values():
        first = sim.model.joint(thing.joints[-1]).qposadr[0]
        before, now = at_rest[1 + first : 3 + first], sim.data.qpos[first : first + 2]
        if np.linalg.norm(now - base) > max(REACH, float(np.linalg.norm(before - base))):
            return False
    return True


def _apart(sim: Simulation, stacks: list[set[str]]) -> bool:
    """Whether there is room between what was moved and all else."""
    import mujoco

    margins = sim.model.geom_margin.copy()
    try:
        sim.model.geom_margin[:] = CLEARANCE
        mujoco.mj_kinematics(sim.model, sim.data)
        mujoco.mj_comPos(sim.model, sim.data)
        mujoco.mj_collision(sim.model, sim.data)
        close = _touching(sim, _owners(sim))
    finally:
        sim.model.geom_margin[:] = margins
        mujoco.mj_forward(sim.model, sim.data)
    moved: set[str] = set().union(*stacks)
    return all(
        any({one, other} <= stack for stack in stacks)
        for one, other in close
        if {one, other} & moved
    )
