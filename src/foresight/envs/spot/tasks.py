"""Spot's tasks: what is asked of it, what it feels, and how long an episode lasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis
from foresight.envs.spot.model import JOINTS, LEGS

NAMESPACE = "spot/"
MARK_TASK = "mark"
TASKS = {
    "joints": "walk as the joystick says, by moving twelve joints",
    "command": "walk as the joystick says, by commanding velocities",
    MARK_TASK: "walk straight on where a mark stands, by commanding velocities",
}
"""Name to what is to be done, in words."""

COMMAND_RANGE = (1.0, 0.8, 1.0)
"""Playground's largest commands: metres a second forwards and to the left, radians a second."""
REACH = 0.6
"""Share of it that is asked for, where nobody says otherwise."""
STILL = 0.1
"""Share of commands that ask to stand, as in Playground."""
SWITCH = 2.0
"""Seconds for which a command is asked."""
ACTION_SCALE = 0.6
"""Radians from the standing pose to the target of an action of 1; twice Playground's scale."""
POSE = np.tile([0.0, 1.04, -1.8], 4)
"""Joint angles of Spot as it stands, in radians: Playground's."""
COMMAND_REPEAT = 5
"""Control steps for which `spot/command` holds a command: 10 decisions a second."""
HISTORY = 3
"""Control steps whose joint errors are felt, the last one first."""

TRACKING_SIGMA = 0.25
"""Squared error (m²/s², rad²/s²) by which a reward falls to 1/e."""
TRACKING_WEIGHTS = (1.5, 0.8)
"""Playground's weights of velocity and turning."""
LEAST_UPRIGHT, LEAST_HEIGHT = 0.85, 0.25
"""Vertical part of the body's upward axis, and metres of its middle, below which Spot has fallen.
Playground looks at the first alone; but only feet collide, so a body could sink into the ground."""

MOVES = ("forward", "left", "turn")
MOVE_UNITS = ("m/s", "m/s", "rad/s")


def state_axes() -> tuple[Axis, ...]:
    """The 81 numbers of Playground's observation, in its order."""
    feet = [Axis(f"foot_{leg.lower()}_{axis}", "m") for leg in LEGS for axis in "xyz"]
    errors = [Axis(f"{joint}_error_{age}", "rad") for age in range(HISTORY) for joint in JOINTS]
    return (
        *(Axis(f"gyro_{axis}", "rad/s") for axis in "xyz"),
        *(Axis(f"up_{axis}") for axis in "xyz"),
        *(Axis(f"{joint}_offset", "rad") for joint in JOINTS),
        *errors,
        *feet,
        *(Axis(f"{joint}_action") for joint in JOINTS),
        *(Axis(f"joystick_{m}", unit) for m, unit in zip(MOVES, MOVE_UNITS, strict=True)),
    )


JOYSTICK = slice(-3, None)
"""Where the asked command stands among them."""


def action_axes(task: str, reach: float, chunk: int = 1) -> tuple[Axis, ...]:
    """What is chosen: targets of twelve joints in units of `ACTION_SCALE`, for ``chunk`` moments
    one after the other; or a command.
    """
    if task == "joints":
        ends = [""] if chunk == 1 else [f"_{moment}" for moment in range(chunk)]
        return tuple(Axis(joint + end, None, -1.0, 1.0) for end in ends for joint in JOINTS)
    limits = zip(MOVES, MOVE_UNITS, COMMAND_RANGE, strict=True)
    return tuple(Axis(name, unit, -most * reach, most * reach) for name, unit, most in limits)


def asked_command(seed: int, number: int, reach: float) -> Float64[np.ndarray, "3"]:
    """The command of an episode that is asked ``number`` switches after its beginning."""
    random = np.random.default_rng([seed, number])
    drawn = random.uniform(-1.0, 1.0, 3) * COMMAND_RANGE * reach
    return np.zeros(3) if random.random() < STILL else drawn


def tracking_reward(asked: Float64[np.ndarray, "3"], velocity: Float64[np.ndarray, "3"]) -> float:
    """Playground's two tracking terms, ``exp(-error² / sigma)`` of velocity and of turning, by
    their weights; 1 for a perfect control step.
    """
    error = (asked - velocity) ** 2
    linear, angular = TRACKING_WEIGHTS
    sum_ = linear * np.exp(-(error[0] + error[1]) / TRACKING_SIGMA)
    sum_ += angular * np.exp(-error[2] / TRACKING_SIGMA)
    return float(sum_ / (linear + angular))


@dataclass(frozen=True)
class Protocol:
    """The length of an episode, named in every result.

    Attributes:
        name: ``walk20``.
        steps: most control steps of an episode, 50 a second.
    """

    name: str
    steps: int


DEFAULT = "walk20"
"""The preset where nobody names one."""
PROTOCOLS = {
    # Playground's own length.
    "walk20": Protocol("walk20", 1000),
    "walk10": Protocol("walk10", 500),
    "walk4": Protocol("walk4", 200),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ForesightError: there is none.
    """
    if name not in PROTOCOLS:
        raise ForesightError(
            f"Unknown protocol {name!r} of Spot: choose one of {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]
