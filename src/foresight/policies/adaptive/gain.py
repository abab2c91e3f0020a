"""The strength of each actuator, found out while acting."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.policies.adaptive.config import GainConfig
from foresight.policies.adaptive.correction import Correction, Transition, by_robot
from foresight.policies.adaptive.gate import Gate
from foresight.policies.adaptive.least_squares import RecursiveLeastSquares
from foresight.policies.delayed.rolling import Imagines
from foresight.worldmodel.dynamics.rollout import mean_step

STEP = 0.02
"""Of the finite differences, in strengths."""
MEMORY = 0.95
"""What a decision keeps of the model's mean squared error."""
LEAST = 1e-3
"""A model is never taken to err by less than this share of what a decision moves, squared."""


class ActuatorGain(Correction):
    """``z' = f(z, c * a)``: the model is right, but for strengths c of the actuators.

    One number for each actuator, instead of one for each number of the state and feature, is
    learned from few decisions. Recursive Gauss-Newton: each decision tells ``J c = after -
    f(z, c a) + J c`` with J the model's own answer to a change of c, by finite differences. A
    decision weighs as much as it moves the state in comparison with how far the model usually errs.

    The action prior learned what to do with the old body. What it asks for is taken to mean what
    that would have brought about, which now takes ``a / c``, as far as the bounds allow.

    Args:
        config: forgetting, ridge, bounds.
        dynamics: in fp32, for the differences.
        actions: A.
    """

    def __init__(self, config: GainConfig, dynamics: Imagines, actions: int) -> None:
        self.config, self.dynamics, self.actions = config, dynamics, actions
        self.fit = RecursiveLeastSquares(actions, 1, config.forgetting, config.ridge, start=1.0)
        self.gate = Gate(config.gated)
        self.reset(1, 0)

    def reset(self, robots: int, seed: int) -> None:
        """Back to strengths of 1."""
        self.active = False
        self.gate.reset(robots)
        self.fit.reset(robots)
        self.gain: Float[Tensor, "N A"] = torch.ones(robots, self.actions)
        self._error = torch.zeros(robots)
        self._seen = torch.zeros(robots)

    @torch.inference_mode()
    def learn(self, seen: Transition) -> None:
        """Take in a decision."""
        robots, latent = seen.z.shape
        nudged = self.gain[:, None] + STEP * torch.cat(
            [torch.zeros(1, self.actions), torch.eye(self.actions)]
        )
        actions = seen.action.float()[:, None] * nudged
        states = seen.z.float()[:, None].expand(-1, 1 + self.actions, -1)
        there = mean_step(self.dynamics, states.flatten(0, 1), actions.flatten(0, 1))
        there = there.view(robots, 1 + self.actions, latent)
        answer = (there[:, 1:] - there[:, :1]).mT / STEP
        missed = seen.after - there[:, 0]
        self.gate.judge(seen.predicted, there[:, 0], seen.after, seen.usable)
        told = missed[..., None] + answer @ self.gain[..., None]
        self.fit.update(answer, told, seen.usable, self._doubt(seen, missed))
        self.gain = self.fit.weights[..., 0].clamp(self.config.least, self.config.most)
        self.active = self.gate.any

    def _doubt(self, seen: Transition, missed: Float[Tensor, "N Z"]) -> Float[Tensor, " N"]:
        """How far the model errs, squared, lately and on average."""
        least = LEAST * (seen.after - seen.z).square().sum(-1)
        now = torch.maximum(missed.square().sum(-1), least)
        counted = (1 - MEMORY) * seen.usable
        self._error = self._error + torch.where(seen.usable > 0, counted * (now - self._error), 0.0)
        self._seen = self._seen + counted * (1 - self._seen)
        return (self._error / self._seen.clamp(min=1e-6)).clamp(min=1e-12)

    def executed(self, action: Float[Tensor, "R A"]) -> Float[Tensor, "R A"]:
        """What the old body would have done."""
        return self._times(action, self._believed)

    def proposed(self, action: Float[Tensor, "R A"]) -> Float[Tensor, "R A"]:
        """What brings about what the prior means."""
        if not (self.active and self.config.prior):
            return action
        return self._times(action, 1 / self._believed).clamp(-1, 1)

    def frozen(self) -> ActuatorGain:
        """A copy with these strengths."""
        held = copy.copy(self)  # learning makes new tensors
        held.gate = copy.copy(self.gate)
        return held

    def notes(self) -> list[dict[str, Any]]:
        """The mean strength that was found."""
        return [{"actuator_gain": float(gain.mean())} for gain in self.gain]

    @property
    def _believed(self) -> Float[Tensor, "N A"]:
        return torch.where(self.gate.opened[:, None], self.gain, 1.0)

    def _times(self, action: Tensor, by: Float[Tensor, "N A"]) -> Tensor:
        return (by_robot(action, len(by)) * by[:, None].to(action)).flatten(-3, -2)
