"""Episodes that begin in a recorded state of a simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.simulator import Simulator


@dataclass(frozen=True)
class Restored:
    """Begins where a recorded episode began.

    What a simulator keeps in its model, such as a goal, is no part of its state: it is that of the
    seed.
    """

    state: tuple[float, ...]
    """The recorded ``sim.state`` of the first step."""

    def __call__(self, env: Any, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the episode and give its first observation and info.

        Raises:
            ForesightError: the environment is no simulator, or takes another state.
        """
        _, info = env.reset(seed=seed)
        inner = env.unwrapped
        if not isinstance(inner, Simulator):
            raise ForesightError(
                f"{type(inner).__name__} cannot be put into a recorded state: give episodes with "
                "the seeds of their starts."
            )
        observation = inner.set_state(np.array(self.state, np.float64))
        return observation, {**info, "state": inner.get_state()}
