"""Regularised least squares, learned one observation after the other, of several robots at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError


class RecursiveLeastSquares:
    """Weights ``W`` with ``y = W^T x``, the older an observation the less it counts.

    After t observations they minimise ``sum_i f^(t-i) |y_i - W^T x_i|^2 + r |W - W0|^2``: those of
    ridge regression on all that was seen. It is kept in the information form, ``A = sum f^(t-i) x
    x^T`` and ``b = sum f^(t-i) x (y - W0^T x)^T``, so that the ridge itself is never forgotten: the
    usual recursion on the inverse of A winds up where nothing excites it. What is asked for is a
    Cholesky solution of F numbers.

    Source: recursive least squares with exponential forgetting (Ljung, "System identification",
    1999, section 11.2).

    Args:
        features: F, numbers of x.
        outputs: O, numbers of y.
        forgetting: f, in (0, 1]; what a decision keeps of the weight of all earlier ones.
        ridge: r, above 0.
        start: W0, the same in every row; 0 if not given.

    Raises:
        ForesightError: settings outside their range.
    """

    def __init__(
        self, features: int, outputs: int, forgetting: float, ridge: float, start: float = 0.0
    ) -> None:
        if not 0 < forgetting <= 1 or not ridge > 0:
            raise ForesightError(
                f"A forgetting of {forgetting} and a ridge of {ridge} are refused: give a "
                "forgetting above 0 and of at most 1, and a ridge above 0."
            )
        self.features, self.outputs = features, outputs
        self.forgetting, self.ridge, self.start = forgetting, ridge, start
        self.reset(1)

    def reset(self, robots: int) -> None:
        """Forget everything; N robots learn apart from now on."""
        self.information = torch.zeros(robots, self.features, self.features, dtype=torch.float64)
        self.moment = torch.zeros(robots, self.features, self.outputs, dtype=torch.float64)
        self.weights = torch.full((robots, self.features, self.outputs), self.start)

    def update(
        self,
        x: Float[Tensor, "N n F"],
        y: Float[Tensor, "N n O"],
        usable: Float[Tensor, " N"] | None = None,
        scale: Float[Tensor, " N"] | None = None,
    ) -> None:
        """Learn from one decision, which may have told n things of equal weight.

        Args:
            x: what was known.
            y: what came of it.
            usable: 0 for robots whose observation does not count; nothing of theirs is forgotten.
            scale: what the ridge is multiplied by from now on, above 0; 1 if not given.
        """
        x, y = x.to(self.moment), y.to(self.moment)
        counts = x.new_ones(len(x)) if usable is None else usable.to(x)
        kept = (1 - (1 - self.forgetting) * counts)[:, None, None]
        counts = counts[:, None, None]
        x, y = torch.where(counts > 0, x, 0.0), torch.where(counts > 0, y, 0.0)
        self.information = kept * self.information + x.mT @ x
        self.moment = kept * self.moment + x.mT @ (y - self.start * x.sum(-1, keepdim=True))
        ridge = self.ridge * (x.new_ones(len(x)) if scale is None else scale.to(x))
        identity = torch.eye(self.features, dtype=x.dtype)
        damped = self.information + ridge[:, None, None] * identity
        factor = torch.linalg.cholesky(damped)
        self.weights = (self.start + torch.cholesky_solve(self.moment, factor)).float()
