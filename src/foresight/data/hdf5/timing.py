"""Whether a row's observation was recorded before its action or after it.

robomimic makes observations of the simulator's recorded states, and ``states[t]`` is that in which
``actions[t]`` was chosen. LIBERO played the actions once more and recorded what came of each: its
``obs[t]`` shows ``states[t + 1]`` and belongs to ``actions[t + 1]``. Files that others made of
LIBERO's with the same keys are of the first kind. A simulator's state holds the arm's joints, so
the file itself tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Shaped

Observed = Literal["before", "after"]
JOINTS_AT = 1
"""The state is (time, positions, velocities), and the arm stands first in robosuite's models."""
CLOSE = 1e-2
"""Radians by which a repeated simulation may differ from the recorded one (LIBERO's own limit)."""
CLEARER = 2.0
"""How many times nearer the one row has to be than the other."""


@dataclass(frozen=True)
class Timing:
    """What a demonstration's own numbers say.

    Attributes:
        observed: before or after the action of its row.
        same: radians between joints as observed and in the state of the same row, median over rows.
        later: the same for the state of the next row.
    """

    observed: Observed
    same: float
    later: float


def measure(states: Shaped[np.ndarray, "T S"], joints: Shaped[np.ndarray, "T J"]) -> Timing | None:
    """Compare observed joints with those in the simulator's state.

    Args:
        states: of the simulator, one for each action.
        joints: positions of the arm's joints, rad, one for each observation.

    Returns:
        None where it cannot be told: an arm that hardly moves, or a state of another kind.
    """
    found = states[:, JOINTS_AT : JOINTS_AT + joints.shape[1]]
    if len(found) < 2 or found.shape != joints.shape:
        return None
    same = float(np.median(np.abs(joints - found).max(1)))
    later = float(np.median(np.abs(joints[:-1] - found[1:]).max(1)))
    near, far = min(same, later), max(same, later)
    if not (near <= CLOSE and far > CLEARER * near):
        return None
    return Timing("before" if same < later else "after", same, later)
