"""The ceiling of delay compensation: the true simulator is rolled through the actions under way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.interface import idle_action
from foresight.planning.config import MPCConfig
from foresight.policies.delayed.queue import ActionQueue, Delays
from foresight.policies.mpc import MPCFactory, MPCPolicy

ENDLESS = 10**9
"""Steps of the copy's episode: it is put back at every decision."""


class SimulatorRolled(Policy):
    """Shows an agent that knows of no delay what will be seen when its action is executed.

    A copy of the simulator is put into the true state and stepped through the actions under way;
    the agent sees the pictures of where that ends. Its own memory of pictures is then of such
    moments, too. No robot has this.

    Args:
        agent: the usual one.
        spec: of the robot.
        delay: steps from an action's choice to its execution.
    """

    def __init__(self, agent: MPCPolicy, spec: Spec, delay: int) -> None:
        self.agent, self.idle, self.delays = agent, idle_action(spec), Delays(delay)
        self._env: DMControlEnv | None = None
        self._copies: tuple[DMControlEnv, DMControlEnv] | None = None
        self._queue = ActionQueue(self.delays, self.idle)

    def attach(self, env: Any) -> None:
        """Look into this environment from now on; wrappers around it do not matter.

        Raises:
            ForesightError: it is no task of dm_control.
        """
        inner = env.unwrapped
        if not isinstance(inner, DMControlEnv):
            raise ForesightError(
                f"{type(inner).__name__} is no task of dm_control, whose simulator is rolled ahead "
                "here: name one of its tasks."
            )
        if inner is not self._env:
            self.close()
            self._env = inner
            endless = replace(inner.protocol, steps=ENDLESS)
            cameras = tuple(inner.interface.cameras)
            self._copies = (
                DMControlEnv(inner.task_id, endless, None),
                DMControlEnv(inner.task_id, endless, inner.render_settings, cameras),
            )

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode, with nothing under way."""
        self.agent.reset(observation, seed)
        self._queue = ActionQueue(self.delays, self.idle)
        for copy in self._copies or ():  # goals and looks are drawn from the seed
            copy.reset(seed=seed)

    def act(self, observation: Observation) -> Action:
        """What the agent does at what it will see."""
        if self._queue.issued:
            self._queue.tell(observation.executed)
        decides = self.agent.step % self.agent.hold == 0
        return self._queue.issue(
            self.agent.act(self._ahead(observation) if decides else observation)
        )

    def close(self) -> None:
        """Free the copies."""
        for copy in self._copies or ():
            copy.close()
        self._copies = self._env = None

    def _ahead(self, observation: Observation) -> Observation:
        """What will be seen when the action is executed that is now chosen."""
        under_way = self._queue.until_effect(0)
        if not len(under_way):
            return observation
        assert self._env is not None and self._copies is not None, "attach() comes first"
        steps, looks = self._copies
        steps.set_state(self._env.get_state())
        # Without the solver's warm start the copy would stray by the last digits.
        steps.physics.data.qacc_warmstart[:] = self._env.physics.data.qacc_warmstart
        for action in under_way:
            steps.step(action)
        return Observation.of(looks.set_state(steps.get_state()), observation.task)


@dataclass(frozen=True)
class SimulatorRolledFactory:
    """Makes the agent of a checkpoint that is shown the true future; picklable."""

    checkpoint: str
    delay: int
    search: MPCConfig = field(default_factory=MPCConfig)
    device: str = "cpu"

    def __call__(self, spec: Spec) -> SimulatorRolled:
        """Load everything and build the policy.

        Raises:
            ForesightError: as `MPCFactory`.
        """
        agent = MPCFactory(self.checkpoint, self.search, device=self.device)(spec)
        return SimulatorRolled(agent, spec, self.delay)
