"""Measures what a picture should tell, at stored states of a simulator."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.protocol import Protocol
from foresight.envs.dmc.quantities import MEASURES, measure
from foresight.envs.dmc.tasks import MEASURED_TASKS, canonical


class StateProbe:
    """Measures the quantities of one task at stored simulator states.

    Args:
        task: one of the eight source tasks.
        protocol: the one the states were recorded with.

    Attributes:
        position: names of the position quantities, in the order of the columns.
        velocity: names of the velocity quantities, behind the positions.

    Raises:
        ForesightError: the task has no quantities.
    """

    def __init__(self, task: str, protocol: str | Protocol = "seed200") -> None:
        name = canonical(task)
        if name not in MEASURES:
            raise ForesightError(
                f"No quantities are known for the task {task!r}: choose one of "
                f"{', '.join(MEASURED_TASKS)}."
            )
        self.task = name
        self._env = DMControlEnv(name, protocol, render=None)
        position, velocity = measure(name, self._env.physics)
        self.position = tuple(position)
        self.velocity = tuple(velocity)

    def measure(self, seed: int, states: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "n q"]:
        """Quantities of states of one episode.

        Args:
            seed: the episode's seed. What a task draws into its model (the reacher's target) is
                no part of the state and comes from a reset with this seed.
            states: float64 ``[N, S]``, the ``sim.state`` of the wanted steps.

        Returns:
            float64 ``[N, Q]``: positions, then velocities; metres, radians and seconds.

        Raises:
            ForesightError: a state of another length or a value that is not finite.
        """
        self._env.reset(seed=seed)
        rows = []
        for state in np.asarray(states, np.float64):
            self._env.set_state(state)
            position, velocity = measure(self.task, self._env.physics)
            rows.append([*position.values(), *velocity.values()])
        return np.array(rows, np.float64).reshape(-1, len(self.position) + len(self.velocity))

    def close(self) -> None:
        """Free the environment."""
        self._env.close()
