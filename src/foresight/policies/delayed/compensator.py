"""What an agent that plans from latent states needs to act although its actions arrive late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs.interface import whole_number
from foresight.policies.delayed.estimate import FEWEST, DelayEstimate, estimate_delay
from foresight.policies.delayed.queue import ActionQueue, Delays
from foresight.policies.delayed.rolling import Imagines, roll
from foresight.worldmodel.actions import Bounds, normalised


@dataclass(frozen=True)
class EstimatedDelay:
    """Nobody tells the delay: an episode's first decisions are noisy, and it is read off them.

    What a robot tells of executed actions and of the age of its observations is not listened to.
    """

    decisions: int = 16
    """Noisy decisions, of the model, that an episode begins with."""
    noise: float = 0.7
    """Deviation of the noise on them, in units of half the action range."""
    most: int = 8
    """The largest delay that is thought of, in steps of the environment."""

    def __post_init__(self) -> None:
        whole_number("number of decisions to estimate a delay from", self.decisions, FEWEST)
        whole_number("largest delay", self.most, 1)
        if not self.noise > 0:
            raise ForesightError(
                f"A noise of {self.noise} tells nothing of a delay: give one above 0."
            )


Lateness = Delays | EstimatedDelay
"""Delays that are known, or are to be found out."""


class DelayCompensator:
    """Keeps what is under way of N robots, and says where it will have led.

    In every step of the environment comes `tell` with what the robots show, at a decision `ahead`
    with what was seen and `excite` with what was decided, and then `issue`.

    Args:
        dynamics: of a model that was learned without delays.
        bounds: what -1 and 1 stand for.
        hold: steps of a decision.
        lateness: of the robots.
    """

    def __init__(self, dynamics: Imagines, bounds: Bounds, hold: int, lateness: Lateness) -> None:
        self.dynamics, self.bounds, self.hold, self.lateness = dynamics, bounds, hold, lateness
        low, high = (np.array(each, np.float32) for each in (bounds.action_low, bounds.action_high))
        self.idle: Float32[np.ndarray, " A"] = np.clip(np.zeros_like(low), low, high)
        self.told = isinstance(lateness, Delays)
        self.found: list[DelayEstimate] = []
        self._random = torch.Generator()
        self.reset(1, 0)

    def reset(self, robots: int, seed: int) -> None:
        """Begin episodes; what is random in them follows from the seed."""
        delays = self.lateness if isinstance(self.lateness, Delays) else Delays()
        wait = delays.wait(self.hold)
        self.queues = [ActionQueue(delays, self.idle, wait) for _ in range(robots)]
        self.found = []
        self._seen: list[Float[Tensor, "N Z"]] = []
        self._ages = [0] * robots
        self._random.manual_seed(seed)

    def tell(self, observations: Sequence[Observation]) -> None:
        """What the robots show in this step: what they have just done, and how old it is.

        Raises:
            ForesightError: another number of robots than episodes were begun with.
        """
        if len(observations) != len(self.queues):
            raise ForesightError(
                f"{len(observations)} robots show something, and {len(self.queues)} episodes were "
                "begun: begin one for each."
            )
        for i, (queue, seen) in enumerate(zip(self.queues, observations, strict=True)):
            steps = len(queue.issued)
            if steps:
                queue.tell(seen.executed if self.told else None)
            expected = min(steps, queue.delays.sees_after)
            self._ages[i] = expected if seen.age is None or not self.told else seen.age

    def ahead(self, z: Float[Tensor, "N Z"]) -> Float[Tensor, "N Z"]:
        """The states in which what is now decided will take effect, from those that are seen."""
        if isinstance(self.lateness, EstimatedDelay) and not self.found:
            self._seen.append(z)
            if len(self._seen) > self.lateness.decisions:
                self._estimate(self.lateness.most)
        under_way = []
        for queue, age in zip(self.queues, self._ages, strict=True):
            actions = torch.from_numpy(queue.until_effect(age)).to(z.device)
            under_way.append(normalised(actions, self.bounds))
        return roll(self.dynamics, z, under_way, self.hold)

    def excite(self, decision: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """The decision, with noise on it as long as a delay is being found out.

        What an agent does by itself follows from what it sees, and changes too little from one
        decision to the next for candidates to differ.
        """
        if not isinstance(self.lateness, EstimatedDelay) or self.found:
            return decision
        drawn = torch.randn(decision.shape, generator=self._random).to(decision)
        return (decision + self.lateness.noise * drawn).clamp(-1, 1)

    def issue(self, actions: Float32[np.ndarray, "N A"]) -> Float32[np.ndarray, "N A"]:
        """What goes out in this step, from what is now chosen, in the environment's units."""
        pairs = zip(self.queues, actions, strict=True)
        return np.stack([queue.issue(action) for queue, action in pairs])

    def notes(self) -> list[dict[str, int]]:
        """The delays that were found, of each robot."""
        return [{"estimated_delay": each.delay} for each in self.found]

    def _estimate(self, most: int) -> None:
        """Find each robot's delay, and count with it from now on."""
        states = torch.stack(self._seen, 1)
        for queue, seen in zip(self.queues, states, strict=True):
            issued = torch.from_numpy(np.stack([self.idle, *queue.issued])).to(seen.device)
            idle, *steps = normalised(issued, self.bounds)
            done = torch.stack(steps)
            found = estimate_delay(self.dynamics, seen, done, self.hold, most, idle)
            self.found.append(found)
            delays = Delays(found.delay)
            queue.assume(delays, delays.wait(self.hold))
        self._seen = []
