"""Residuals on a model's one-step prediction, learned while acting."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.policies.adaptive.config import GradientConfig, RLSConfig
from foresight.policies.adaptive.correction import Correction, Space, Transition, by_robot
from foresight.policies.adaptive.gate import Gate
from foresight.policies.adaptive.least_squares import RecursiveLeastSquares


class LinearResidual(Correction):
    """``z' = f(z, a) + W^T x(z, a)`` with W by recursive least squares, apart for each robot.

    Every member of an ensemble gets the same residual, that of their mean: they differ as before.

    Args:
        config: forgetting, ridge, features.
        space: of the states.
        actions: A.
    """

    def __init__(self, config: RLSConfig, space: Space, actions: int) -> None:
        self.config, self.space = config, space
        features, latent = 1 + actions + space.count, len(space.directions)
        self.fit = RecursiveLeastSquares(features, latent, config.forgetting, config.ridge)
        self.gate = Gate(config.gated)

    def reset(self, robots: int, seed: int) -> None:
        """Back to a residual of 0."""
        self.active = False
        self.fit.reset(robots)
        self.gate.reset(robots)

    def learn(self, seen: Transition) -> None:
        """Take in what the model missed."""
        x = self.space.features(seen.z, seen.action)[:, None]
        ours = self.space.moved(seen.predicted, (x @ self.fit.weights.to(x))[:, 0])
        self.gate.judge(seen.predicted, ours, seen.after, seen.usable)
        self.fit.update(x, (seen.after - seen.predicted)[:, None], seen.usable)
        self.active = self.gate.any

    def corrected(
        self, z: Float[Tensor, "*E R Z"], action: Float[Tensor, "R A"], after: Tensor
    ) -> Float[Tensor, "*E R Z"]:
        """Add the residual of each state."""
        x = by_robot(self.space.features(z, action), len(self.fit.weights))
        weights = self.fit.weights * self.gate.opened[:, None, None]
        return self.space.moved(after, (x @ weights.to(x)).flatten(-3, -2))

    def frozen(self) -> LinearResidual:
        """A copy with these weights."""
        held = copy.copy(self)
        held.fit, held.gate = copy.copy(self.fit), copy.copy(self.gate)  # these make new tensors
        return held

    def notes(self) -> list[dict[str, Any]]:
        """How large the weights have become."""
        sizes = self.fit.weights.flatten(1).norm(dim=1)
        return [{"residual_size": float(size)} for size in sizes]


class NetworkResidual(Correction):
    """``z' = f(z, a) + V^T relu(U^T x(z, a))``, by steps of AdamW on the last decisions.

    V begins at 0. Each robot has a network of its own.

    Args:
        config: steps, rate, sizes.
        space: of the states.
        actions: A.
    """

    def __init__(self, config: GradientConfig, space: Space, actions: int) -> None:
        self.config, self.space, self.actions = config, space, actions
        self.gate = Gate(config.gated)
        self.reset(1, 0)

    def reset(self, robots: int, seed: int) -> None:
        """A fresh first layer from the seed, the same for every robot, and a last one of 0."""
        self.active = False
        features, latent = 1 + self.actions + self.space.count, len(self.space.directions)
        random = torch.Generator().manual_seed(seed)
        first = torch.randn(features, self.config.hidden, generator=random) * features**-0.5
        self.gate.reset(robots)
        with torch.inference_mode(False):
            self.first = first.expand(robots, -1, -1).clone()
            self.last = torch.zeros(robots, self.config.hidden, latent)
            weights = [self.first, self.last]
            self._adam = torch.optim.AdamW(
                weights, self.config.rate, weight_decay=self.config.decay
            )
        self._known: list[tuple[Tensor, Tensor, Tensor]] = []

    def learn(self, seen: Transition) -> None:
        """Take in what the model missed, and step on the recent decisions."""
        counts = seen.usable[:, None]
        x = torch.where(counts > 0, self.space.features(seen.z, seen.action), 0.0)
        missed = torch.where(counts > 0, seen.after - seen.predicted, 0.0)
        ours = self.space.moved(seen.predicted, self._residual(x[:, None])[:, 0])
        self.gate.judge(seen.predicted, ours, seen.after, seen.usable)
        self._known = [*self._known, (x, missed, counts)][-self.config.recent :]
        parts = [torch.stack(part, 1) for part in zip(*self._known, strict=True)]
        with torch.inference_mode(False), torch.no_grad():
            known, targets, weights = (part.float().clone() for part in parts)
            # In units of what is missed, so that a rate fits any latent space.
            unit = targets.square().sum((-2, -1), keepdim=True).clamp(min=1e-12)
            for _ in range(self.config.steps):
                self._step(known, targets, weights / unit)
        self.active = self.gate.any

    def _step(
        self,
        x: Float[Tensor, "N n F"],
        targets: Float[Tensor, "N n Z"],
        weights: Float[Tensor, "N n 1"],
    ) -> None:
        """Down the gradient of the weighted squared error, summed over decisions and numbers."""
        hidden = (x @ self.first).relu()
        above = 2 * weights * (hidden @ self.last - targets)
        self.last.grad = hidden.mT @ above
        self.first.grad = x.mT @ ((above @ self.last.mT) * (hidden > 0))
        self._adam.step()

    def corrected(
        self, z: Float[Tensor, "*E R Z"], action: Float[Tensor, "R A"], after: Tensor
    ) -> Float[Tensor, "*E R Z"]:
        """Add the residual of each state."""
        x = by_robot(self.space.features(z, action), len(self.last))
        residual = self._residual(x) * self.gate.opened.to(x)[:, None, None]
        return self.space.moved(after, residual.flatten(-3, -2))

    def frozen(self) -> NetworkResidual:
        """A copy with these weights."""
        held = copy.copy(self)
        held.first, held.last = self.first.clone(), self.last.clone()
        held.gate = copy.copy(self.gate)
        return held

    def notes(self) -> list[dict[str, Any]]:
        """How large the last layer has become."""
        return [{"residual_size": float(size)} for size in self.last.flatten(1).norm(dim=1)]

    def _residual(self, x: Float[Tensor, "*E N S F"]) -> Float[Tensor, "*E N S Z"]:
        found: Tensor = (x @ self.first.to(x)).relu() @ self.last.to(x)
        return found
