"""Residuals on a model's one-step prediction, learned while acting."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.policies.adaptive.config import GradientConfig, RLSConfig
from foresight.policies.adaptive.correction import Correction, Space, Transition, by_robot
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

    def reset(self, robots: int, seed: int) -> None:
        """Back to a residual of 0."""
        self.active = False
        self.fit.reset(robots)

    def learn(self, seen: Transition) -> None:
        """Take in what the model missed."""
        x = self.space.features(seen.z, seen.action)
        self.fit.update(x[:, None], (seen.after - seen.predicted)[:, None], seen.usable)
        self.active = True

    def corrected(
        self, z: Float[Tensor, "*E R Z"], action: Float[Tensor, "R A"], after: Tensor
    ) -> Float[Tensor, "*E R Z"]:
        """Add the residual of each state."""
        x = by_robot(self.space.features(z, action), len(self.fit.weights))
        return self.space.moved(after, (x @ self.fit.weights.to(x)).flatten(-3, -2))

    def frozen(self) -> LinearResidual:
        """A copy with these weights."""
        held = copy.copy(self)
        held.fit = copy.copy(self.fit)  # updates make new tensors
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
        self.reset(1, 0)

    def reset(self, robots: int, seed: int) -> None:
        """A fresh first layer from the seed, the same for every robot, and a last one of 0."""
        self.active = False
        features, latent = 1 + self.actions + self.space.count, len(self.space.directions)
        random = torch.Generator().manual_seed(seed)
        first = torch.randn(features, self.config.hidden, generator=random) * features**-0.5
        with torch.inference_mode(False):
            self.first = first.expand(robots, -1, -1).clone().requires_grad_()
            self.last = torch.zeros(robots, self.config.hidden, latent, requires_grad=True)
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
        with torch.inference_mode(False), torch.enable_grad():
            self._known.append((x.clone(), missed.clone(), counts.clone()))
            self._known = self._known[-self.config.recent :]
            known, targets, weights = (
                torch.stack(part, 1) for part in zip(*self._known, strict=True)
            )
            for _ in range(self.config.steps):
                error = (self._residual(known) - targets).square().mean(-1, keepdim=True)
                # In units of what is missed, so that a rate fits any latent space.
                unit = targets.square().mean((-2, -1), keepdim=True).clamp(min=1e-12)
                loss = (weights * error / unit).mean(1).sum()
                self._adam.zero_grad()
                torch.autograd.backward(loss)
                self._adam.step()
        self.active = True

    def corrected(
        self, z: Float[Tensor, "*E R Z"], action: Float[Tensor, "R A"], after: Tensor
    ) -> Float[Tensor, "*E R Z"]:
        """Add the residual of each state."""
        x = by_robot(self.space.features(z, action), len(self.last))
        return self.space.moved(after, self._residual(x).flatten(-3, -2))

    def frozen(self) -> NetworkResidual:
        """A copy with these weights."""
        held = copy.copy(self)
        held.first, held.last = self.first.detach().clone(), self.last.detach().clone()
        return held

    def notes(self) -> list[dict[str, Any]]:
        """How large the last layer has become."""
        return [
            {"residual_size": float(size)} for size in self.last.detach().flatten(1).norm(dim=1)
        ]

    def _residual(self, x: Float[Tensor, "*E N S F"]) -> Float[Tensor, "*E N S Z"]:
        found: Tensor = (x @ self.first.to(x)).relu() @ self.last.to(x)
        return found
