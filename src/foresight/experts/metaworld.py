"""Meta-World's own scripted policies, which read where objects and goals are."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.envs.metaworld.environment import MetaWorldEnv
from foresight.envs.metaworld.tasks import NAMESPACE


class MetaWorldExpert(Policy):
    """The scripted policy of a task; whoever runs it calls ``attach`` before ``reset``.

    Args:
        task: with or without its namespace.
        spec: of the robot.

    Raises:
        ForesightError: the package ``metaworld`` is missing.
    """

    def __init__(self, task: str, spec: Spec) -> None:
        require("metaworld", "Every task of Meta-World")
        from metaworld.policies import ENV_POLICY_MAP

        self.spec = spec
        scripts: Any = ENV_POLICY_MAP
        self._make = scripts[task.removeprefix(NAMESPACE) + "-v3"]
        self._script = self._make()
        self._env: MetaWorldEnv | None = None

    def attach(self, env: Any) -> None:
        """Look into this environment from now on; wrappers around it do not matter.

        Raises:
            ForesightError: there is no task of Meta-World inside.
        """
        inner = env.unwrapped
        if not isinstance(inner, MetaWorldEnv):
            raise ForesightError(
                f"{type(inner).__name__} is no task of Meta-World, and its experts read what only "
                "those show: use zero, random, ar1:0.9 or a policy of your own."
            )
        self._env = inner

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin the script anew."""
        self._script = self._make()

    def act(self, observation: Observation) -> Action:
        """The script's action, float32 ``[4]``, within the bounds."""
        if self._env is None:
            raise ForesightError("An expert looks into a simulator: call attach(env) first.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Environments clip": so do we
            wanted = self._script.get_action(self._env.full_observation)
        return np.clip(wanted, self.spec.low, self.spec.high).astype(np.float32)
