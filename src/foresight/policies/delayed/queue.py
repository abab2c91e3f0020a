"""Which actions of a robot that acts late were executed, and which are still under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32

from foresight.envs.interface import whole_number

Action = Float32[np.ndarray, " A"]
Rest = Literal["wait", "interpolate"]


@dataclass(frozen=True)
class Delays:
    """What is known of a robot's delays, in steps of the environment.

    The fields are those of `foresight.envs.delay.Delay`; an agent counts with the expected delays.
    """

    action_delay: int = 0
    """Steps from an action's choice to its execution."""
    observation_lag: int = 0
    """Steps by which observations are old, where nobody tells their age."""
    jitter: int = 0
    """Most steps by which both are longer at times."""
    rest: Rest = "wait"
    """What becomes of delays that are no whole number of the model's decisions: a decision waits
    until they are, or the imagined path is interpolated."""

    def __post_init__(self) -> None:
        whole_number("action delay", self.action_delay, 0)
        whole_number("observation lag", self.observation_lag, 0)
        whole_number("jitter", self.jitter, 0)

    @property
    def acts_after(self) -> int:
        """Expected steps from an action's choice to its execution."""
        return self.action_delay + round(mean_lateness(self.jitter))

    @property
    def sees_after(self) -> int:
        """Expected steps by which observations are old."""
        return self.observation_lag + round(mean_lateness(self.jitter))

    def wait(self, hold: int) -> int:
        """Steps that a decision waits here, so that it takes effect on the model's own grid.

        A model imagines whole decisions of ``hold`` steps. Observations come every ``hold`` steps,
        too; what was decided takes effect whole decisions after what was seen only if the delays
        and the wait add up to a multiple of ``hold``.
        """
        return -(self.acts_after + self.sees_after) % hold if self.rest == "wait" else 0


def mean_lateness(jitter: int) -> float:
    """Expected steps by which the newest message that has arrived is later than its fixed delay.

    Each is late by 0 to ``jitter`` steps, all equally likely, and what a newer one has overtaken
    does not count: the newest is later than i steps only if those of the last i + 1 steps all are.
    """
    chance, total = 1.0, 0.0
    for late in range(jitter):
        chance *= (jitter - late) / (jitter + 1)
        total += chance
    return total


class ActionQueue:
    """The actions of one robot, step by step.

    Args:
        delays: what is known of them.
        idle: what is executed until the first action arrives, in the environment's units.
        wait: steps for which actions are held back before they are issued.
    """

    def __init__(self, delays: Delays, idle: Action, wait: int = 0) -> None:
        self.delays, self.idle, self.wait = delays, idle, wait
        self.chosen: list[Action] = []
        self.issued: list[Action] = []
        self.executed: list[Action] = []
        self._newest = -1  # which of the issued ones was executed last; -1 is the idle one

    def issue(self, action: Action) -> Action:
        """Choose the action of this step; gives the one that goes out, which waited its time."""
        self.chosen.append(action)
        out = self._of(self.chosen, len(self.chosen) - 1 - self.wait)
        self.issued.append(out)
        return out

    def tell(self, executed: Action | None = None) -> None:
        """The last step is over: what it did, where the robot says so; else what was expected.

        An action that was executed has overtaken all that were issued before it.
        """
        step = len(self.executed)
        expected = max(self._newest, step - self.delays.acts_after)
        if executed is not None:
            alike = [i for i in range(self._newest, step + 1) if self._is(i, executed)]
            if alike:  # a held action is issued several times: the likeliest of them
                expected = min(alike, key=lambda i: abs(i - expected))
        self._newest = expected
        self.executed.append(self._of(self.issued, expected) if executed is None else executed)

    def assume(self, delays: Delays, wait: int) -> None:
        """Count with other delays from now on, and in what is past, which nobody told."""
        self.delays, self.wait = delays, wait
        first = -delays.acts_after
        steps = range(first, first + len(self.executed))
        self.executed = [self._of(self.issued, step) for step in steps]
        self._newest = max(-1, first + len(self.executed) - 1)

    def until_effect(self, age: int) -> Float32[np.ndarray, "n A"]:
        """What is executed from the observed moment until the action that is now chosen is.

        Args:
            age: steps by which the present observation is old.

        Returns:
            An action for each of ``age + acts_after + wait`` steps.
        """
        now = len(self.issued)
        past = self.executed[now - min(age, now) :]
        late = self.delays.acts_after
        steps = range(now - late, now + self.wait)
        coming = [self._sent(max(self._newest, step)) for step in steps]
        return np.stack([*past, *coming]) if past or coming else self.idle[None][:0]

    def _sent(self, step: int) -> Action:
        """What is issued at a step, which for one held back may be yet to come."""
        if step < len(self.issued):
            return self._of(self.issued, step)
        return self._of(self.chosen, step - self.wait)

    def _of(self, actions: Sequence[Action], step: int) -> Action:
        return actions[step] if step >= 0 else self.idle

    def _is(self, step: int, executed: Action) -> bool:
        return np.allclose(self._of(self.issued, step), executed, rtol=1e-4, atol=1e-6)
