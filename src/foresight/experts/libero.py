"""A scripted demonstrator for LIBERO's tasks of the kind: pick this up, put it there.

It reads where things are from the simulator and goes from one waypoint to the next with a
proportional law, the hand looking down; what slips out of the fingers is taken up once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.envs.libero.environment import LiberoEnv
from foresight.envs.libero.tasks import NAMESPACE, SWAPPED, canonical

GAIN = 20.0
"""Action per metre: the law goes at full speed until 5 cm before its target."""
TURN_GAIN = 2.0
"""Action per radian of the hand's turn about the vertical."""
OPEN, CLOSED = -1.0, 1.0
CLOSING = 14
"""Decisions for which the fingers close before a lift; with 8 of them bowls are lost."""
OPENING = 8
NEAR, AT = 0.02, 0.008
"""Metres from a target within which a waypoint counts as passed, and as reached."""
PALM, PALM_HEIGHT = (-0.1, -0.05, 0.0, 0.05, 0.1), 0.1
"""Metres from the grip site along the axis on which the fingers open, and above a thing's origin:
the palm, which is wide, and meets tall furniture where the fingers do not."""
FREE = 0.1
"""Metres above its last place at which a thing is carried."""
TIPS, HOLLOW = 0.01, 0.035
"""Metres of the grip site below a thing's top: at the least, or the fingers close on nothing, and
at the most, for the palm is above it."""
OPENED = 0.07
"""Metres between the fingers, with some to spare."""
ROOM = 0.03
"""Metres around the hand that are enough: the first side that has them is taken, not the roomiest,
for who learns from pictures would take the middle where both are shown."""
SAG = 0.012
"""Metres below a target at which the hand aims as it comes down: it stops up to 1 cm too high."""
PATIENCE = 40
"""Decisions after which a waypoint is given up, for something is in the way."""


@dataclass(frozen=True)
class Grasp:
    """Where a thing is held, and how it is carried.

    Attributes:
        radius: metres from its middle to its rim; 0 for what fits between the fingers.
        height: metres of the grip site above the thing's origin, where its top allows that.
        lift: metres by which it is lifted, at the least.
        release: metres above the place's origin at which it is let go.
    """

    radius: float
    height: float
    lift: float
    release: float


BOWL = Grasp(radius=0.048, height=0.034, lift=0.15, release=0.02)
GRASPS = {
    "spatial": BOWL,
    "object": Grasp(radius=0.0, height=0.02, lift=0.34, release=0.12),
    "goal/put_the_bowl_on_the_stove": BOWL,
    "goal/put_the_bowl_on_top_of_the_cabinet": BOWL,
    "goal/put_the_bowl_on_the_plate": BOWL,
    "goal/put_the_cream_cheese_in_the_bowl": Grasp(0.0, height=0.02, lift=0.15, release=0.07),
    "goal/put_the_wine_bottle_on_top_of_the_cabinet": Grasp(0.0, 0.02, lift=0.15, release=0.02),
}
"""Suites whose tasks are all of this kind, and single tasks; swapped ones are alike."""


def _grasp(task: str) -> Grasp | None:
    """Of a task, with or without its namespace; None where no script knows it."""
    known = canonical(task.removeprefix(NAMESPACE))
    if known is None:
        return None
    suite, name = known.split("/")
    suite = suite.removesuffix(SWAPPED)
    return GRASPS.get(suite, GRASPS.get(f"{suite}/{name}"))


def can_show(env_id: str) -> bool:
    """Whether there is a demonstrator for an id, with its namespace."""
    return env_id.startswith(NAMESPACE) and _grasp(env_id) is not None


class LiberoExpert(Policy):
    """Picks a thing up and puts it where the task says; whoever runs it calls ``attach`` before
    ``reset``.

    Args:
        task: with or without its namespace.
        spec: of the robot.

    Raises:
        ForesightError: the task is of another kind.
    """

    def __init__(self, task: str, spec: Spec) -> None:
        grasp = _grasp(task)
        if grasp is None:
            known = ", ".join(name.replace("_", " ") for name in GRASPS)
            raise ForesightError(f"{task} has no expert: of LIBERO these have one: {known}.")
        self.spec, self.grasp = spec, grasp
        self._env: LiberoEnv | None = None

    def attach(self, env: Any) -> None:
        """Look into this environment from now on; wrappers around it do not matter.

        Raises:
            ForesightError: there is no task of LIBERO inside.
        """
        inner = env.unwrapped
        if not isinstance(inner, LiberoEnv):
            raise ForesightError(
                f"{type(inner).__name__} is no task of LIBERO, and its experts read what only "
                "those show: use zero, random, ar1:0.9 or a policy of your own."
            )
        self._env = inner

    def reset(self, observation: Observation, seed: int) -> None:
        """Choose how to take the thing that the task names."""
        (_, self._thing, place), *_ = self.env.simulation.upstream.parsed_problem["goal_state"]
        upstream = self.env.simulation.upstream
        owner = next(name for name in upstream.obj_body_id if place.startswith(name))
        # Of furniture it is a region, which has a place of its own.
        self._place = place if owner in upstream.fixtures_dict else owner
        self._begin()

    @property
    def env(self) -> LiberoEnv:
        """The environment that was attached."""
        if self._env is None:
            raise ForesightError("An expert looks into a simulator: call attach(env) first.")
        return self._env

    def act(self, observation: Observation) -> Action:
        """The next action, float32 ``[7]``, within the bounds."""
        places = self._places()
        hand, thing = places["hand"], places[self._thing]
        for _ in range(len(STAGES)):  # a stage that is over before it begins takes no time
            target, grip, over = getattr(self, f"_{STAGES[self._stage]}")(places, hand, thing)
            self._waited += 1
            if not over and self._waited <= PATIENCE:
                break
            self._next(thing)
        action = np.zeros(7)
        action[:3] = GAIN * (target - hand)
        action[5] = TURN_GAIN * self._turn_left()
        action[6] = grip
        return np.clip(action, self.spec.low, self.spec.high).astype(np.float32)

    def _places(self) -> dict[str, Float64[np.ndarray, "3"]]:
        places = self.env.simulation.places()
        if self._place not in places:
            places[self._place] = self.env.simulation.data.site(self._place).xpos.copy()
        return places

    def _begin(self) -> None:
        places = self._places()
        self._stage, self._waited = 0, 0
        self._first = places[self._thing].copy()
        low, high = self._extent()
        self._height = min(max(self.grasp.height, high[2] - HOLLOW), high[2] - TIPS)
        self._side, self._yaw = self._choose(places, high - low)
        above = places[self._place][2] + self.grasp.release + FREE
        self._lifted = max(self.grasp.lift, above - self._first[2])

    def _next(self, thing: Float64[np.ndarray, "3"]) -> None:
        lifted = thing[2] > self._first[2] + 0.5 * self.grasp.lift
        lost = STAGES[self._stage] == "lift" and not lifted
        if lost or self._stage == len(STAGES) - 1:
            self._begin()
            return
        self._stage, self._waited = self._stage + 1, 0

    def _choose(self, places: dict[str, Any], size: Any) -> tuple[Float64[np.ndarray, "3"], float]:
        """From the middle to where the fingers close, metres, and the hand's turn, radians: where
        there is room. The fingers stand side by side along y, or along x with a turned hand.
        """
        if self.grasp.radius == 0:
            return np.zeros(3), np.pi / 2 if size[1] > OPENED else 0.0
        best, most = (np.zeros(3), 0.0), -np.inf
        inside = self._in_a_drawer()
        axis = 0 if inside else 1
        for sign in (1, -1):
            side = np.zeros(3)
            side[axis] = sign * self.grasp.radius
            room = min(self._room(places[self._thing], side, axis), ROOM)
            if room > most:
                best, most = (side, np.pi / 2 if inside else 0.0), room
        return best

    def _room(self, thing: Float64[np.ndarray, "3"], side: Any, axis: int) -> float:
        """Metres between the hand, as it would close here, and what else is there."""
        spread = np.zeros((len(PALM), 3))
        spread[:, axis] = PALM
        palm = thing + side + spread + [0, 0, PALM_HEIGHT]
        finger = thing + 1.8 * side + [0, 0, self._height]
        boxes = self._boxes()
        return min(_distance(point, *box) for point in (*palm, finger) for box in boxes)

    def _extent(self) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
        """How far the thing reaches from its origin, metres along the world's axes."""
        origin = self._first
        boxes = [(m - origin, np.abs(axes) @ half) for m, axes, half in self._boxes(of_thing=True)]
        low = np.min([middle - reach for middle, reach in boxes], axis=0)
        return low, np.max([middle + reach for middle, reach in boxes], axis=0)

    def _boxes(self, of_thing: bool = False) -> list[tuple[Any, Any, Any]]:
        """Middle, axes and half sides of boxes around all geoms that collide: the thing's, or all
        but the thing's, the arm's and the table's.
        """
        sim = self.env.simulation
        model, data = sim.model, sim.data
        bodies = sim.upstream.obj_body_id
        wanted = {
            int(model.body_rootid[body])
            for name, body in bodies.items()
            if (name == self._thing) == of_thing
        }
        found = []
        for geom in np.flatnonzero(model.geom_contype | model.geom_conaffinity):
            if int(model.body_rootid[model.geom_bodyid[geom]]) in wanted:
                axes = data.geom_xmat[geom].reshape(3, 3)
                middle = data.geom_xpos[geom] + axes @ model.geom_aabb[geom, :3]
                found.append((middle, axes, model.geom_aabb[geom, 3:]))
        return found

    def _in_a_drawer(self) -> bool:
        initial = self.env.simulation.upstream.parsed_problem["initial_state"]
        return any(state[0] == "in" and state[1] == self._thing for state in initial)

    def _turn_left(self) -> float:
        """Radians that the hand is to turn about the vertical, the shorter way."""
        sim = self.env.simulation
        across = sim.data.body(sim.robot.robot_model.eef_name).xmat.reshape(3, 3)[:2, 1]
        now = np.arctan2(across[1], across[0]) - np.pi / 2  # fingers open along the hand's y
        left = self._yaw - now
        return float((left + np.pi / 2) % np.pi - np.pi / 2)  # both fingers are alike

    def _above(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        goal = thing + self._side + [0, 0, self._height + 0.08]
        target = goal.copy()
        if hand[2] < goal[2] - 0.03:  # up first, for something may stand in the way
            target[:2] = hand[:2]
        over = np.linalg.norm(goal - hand) < NEAR and abs(self._turn_left()) < 0.05
        return target, OPEN, bool(over)

    def _down(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        goal = thing + self._side + [0, 0, self._height]
        if self.grasp.radius == 0:
            return goal - [0, 0, SAG], OPEN, bool(hand[2] - goal[2] < AT / 2)
        return goal, OPEN, bool(np.linalg.norm(goal - hand) < AT)

    def _close(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        goal = thing + self._side + [0, 0, self._height]
        return goal, CLOSED, self._waited >= CLOSING

    def _lift(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        goal = hand.copy()
        goal[2] = self._first[2] + self._height + self._lifted
        return goal, CLOSED, bool(goal[2] - hand[2] < NEAR)

    def _carry(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        goal = places[self._place] + (hand - thing)
        goal[2] = max(hand[2], places[self._place][2] + self.grasp.release + FREE)
        return goal, CLOSED, bool(np.linalg.norm((goal - hand)[:2]) < AT)

    def _lower(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        goal = places[self._place] + (hand - thing) + [0, 0, self.grasp.release]
        return goal, CLOSED, bool(np.linalg.norm(goal - hand) < AT)

    def _release(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        return hand.copy(), OPEN, self._waited >= OPENING

    def _leave(self, places: Any, hand: Any, thing: Any) -> tuple[Any, float, bool]:
        goal = thing + np.array([0, 0, self._height + 0.12])
        goal[:2] = hand[:2]
        return goal, OPEN, bool(goal[2] - hand[2] < NEAR)


def _distance(point: Any, middle: Any, axes: Any, half: Any) -> float:
    """Metres from a point to a box; below 0 inside."""
    beyond = np.abs((point - middle) @ axes) - half
    return float(np.linalg.norm(np.maximum(beyond, 0.0)) + min(beyond.max(), 0.0))


STAGES = ("above", "down", "close", "lift", "carry", "lower", "release", "leave")
