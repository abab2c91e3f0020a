"""How hard the oracle searches on each task.

The numbers were chosen on seeds 10,000 and above, never on evaluation seeds. They trade return
for time: all eight tasks on twenty seeds take minutes, not hours, on two cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from foresight.core.errors import ForesightError
from foresight.envs.dmc.tasks import canonical
from foresight.experts.oracle_search import SearchSettings
from foresight.experts.shaping import Shaping, near_cup, spinning, upright_hopping


@dataclass(frozen=True)
class OracleSettings:
    """How far the oracle looks ahead, how often it plans and how long it searches."""

    horizon: int = 60
    """Control steps that a plan looks ahead (less near the episode's end)."""
    first_iterations: int = 10
    """Search iterations for the first decision of an episode."""
    iterations: int = 1
    """Search iterations for each later plan."""
    replan_every: int = 1
    """Decisions taken from one plan while the simulator does what the plan foresaw."""
    search: SearchSettings = field(default_factory=SearchSettings)
    """How candidates are drawn."""
    shaping: Callable[[Any], Shaping] | None = None
    """Extra reward that steers the search where the task's own reward is flat."""
    terminal: float = 0.0
    """How many steps of extra reward the last state of a plan is worth: what comes after it."""


ORACLE_SETTINGS: dict[str, OracleSettings] = {
    "reacher-easy": OracleSettings(
        horizon=60, iterations=2, search=SearchSettings(samples=32, knots=(3, 8, 20))
    ),
    "point_mass-easy": OracleSettings(
        horizon=60, iterations=2, search=SearchSettings(samples=48, knots=(3, 8, 20))
    ),
    "cartpole-swingup": OracleSettings(
        horizon=200,
        first_iterations=60,
        replan_every=5,
        search=SearchSettings(samples=48, knots=(3, 8, 20)),
    ),
    "walker-walk": OracleSettings(
        horizon=30, first_iterations=5, search=SearchSettings(samples=96)
    ),
    "cheetah-run": OracleSettings(horizon=50, first_iterations=5, iterations=3),
    "finger-spin": OracleSettings(horizon=40, iterations=2, shaping=spinning),
    "hopper-hop": OracleSettings(
        horizon=60,
        iterations=3,
        replan_every=2,
        search=SearchSettings(samples=64, knots=(3, 6, 12)),
        shaping=upright_hopping,
        terminal=20.0,
    ),
    "cup-catch": OracleSettings(
        horizon=75,
        replan_every=2,
        search=SearchSettings(knots=(3, 8, 15)),
        shaping=near_cup,
    ),
}


def oracle_settings(task: str) -> OracleSettings:
    """Return the tuned settings of a task.

    Raises:
        ForesightError: If the oracle does not know the task.
    """
    found = ORACLE_SETTINGS.get(canonical(task))
    if found is None:
        raise ForesightError(
            f"The oracle does not know task {task!r}: choose one of "
            f"{', '.join(sorted(ORACLE_SETTINGS))}, or another behaviour."
        )
    return found
