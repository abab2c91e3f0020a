"""iCEM: the cross-entropy method made sample-efficient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.objective import Objective
from foresight.planning.solvers.cem import CEM
from foresight.planning.solvers.contracts import Dynamics, Iteration, Plan
from foresight.planning.solvers.imagining import shift
from foresight.planning.solvers.noise import coloured_noise
from foresight.planning.solvers.ranking import Ranked
from foresight.planning.solvers.search import Options


class ICEM(CEM):
    """The improved cross-entropy method (Pinneri et al. 2020, arXiv 2008.06389).

    Over `CEM`: noise that is correlated in time (power ``1 / f ** beta``); a share of the elites
    stays in the running, and, shifted by a step, joins the first samples of the next decision; the
    number of samples falls by ``decay`` with each iteration, but not below twice the elites; the
    distribution moves with ``momentum``; the best elite is returned.

    The dynamics being deterministic, elites that stay keep their cost and are not imagined again.
    Shifted elites are forgotten when `plan` is called without a warm start, as after a reset, or
    by `seed`.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        low: Float[Tensor, " A"],
        high: Float[Tensor, " A"],
        horizon: int = 10,
        samples: int = 200,
        elites: int = 10,
        iterations: int = 4,
        seed: int = 0,
        beta: float = 2.0,
        decay: float = 1.25,
        reuse: float = 0.3,
        momentum: float = 0.1,
        initial_deviation: float = 0.5,
        minimal_deviation: float = 0.02,
        options: Options | None = None,
    ) -> None:
        """Deviations are in units of half the action range.

        Args:
            dynamics: single or ensemble.
            low: lowest actions ``[A]``.
            high: highest actions ``[A]``.
            horizon: imagined steps.
            samples: candidates of the first iteration.
            elites: candidates that the distribution is refitted to.
            iterations: refinements per decision.
            seed: of the random stream.
            beta: exponent of the noise's spectrum; 0 is white.
            decay: factor by which samples fall with each iteration, at least 1.
            reuse: share of the elites that is reused, from 0 to 1.
            momentum: share of the old distribution in the new one, at least 0 and below 1.
            initial_deviation: of the first samples.
            minimal_deviation: the least of later samples.
            options: held actions and action priors.

        Raises:
            ForesightError: a setting outside these ranges.
        """
        super().__init__(
            dynamics,
            low,
            high,
            horizon,
            samples,
            elites,
            iterations,
            seed,
            initial_deviation,
            minimal_deviation,
            options,
        )
        if beta < 0 or decay < 1 or not 0 <= reuse <= 1 or not 0 <= momentum < 1:
            raise ForesightError(
                f"iCEM got beta {beta}, decay {decay}, reuse {reuse} and momentum {momentum}: "
                "choose at least 0, at least 1, 0 to 1, and at least 0 but below 1."
            )
        self.beta = beta
        self.decay = decay
        self.reused = int(reuse * elites)
        self.momentum = momentum
        self._last: Float[Tensor, "B K H A"] | None = None

    def seed(self, seed: int) -> None:
        """Restart the random stream and forget the last decision's elites."""
        super().seed(seed)
        self._last = None

    def _count(self, turn: int) -> int:
        return min(self.samples, max(int(self.samples * self.decay**-turn), 2 * self.elites))

    def _first(
        self, z0: Float[Tensor, "B Z"], warm_start: Float[Tensor, "B H A"] | None
    ) -> Float[Tensor, "B P D A"]:
        proposed = self._proposed(z0)
        if warm_start is not None and self._last is not None and len(self._last) == len(z0):
            moved = shift(self._last.flatten(0, 1)).view_as(self._last)
            proposed = torch.cat([self.to_decisions(moved), proposed], dim=1)
        return proposed[:, : self.samples - 1]

    def _noise(self, shape: tuple[int, ...]) -> Float[Tensor, "B S D A"]:
        return coloured_noise(shape, -2, self.beta, self.generator)

    def _carried(self, ranked: Ranked, proposed: Ranked) -> list[Ranked]:
        return [ranked.first(self.reused)]

    def _refit(
        self, ranked: Ranked, mean: Float[Tensor, "B D A"], deviation: Float[Tensor, "B D A"]
    ) -> tuple[Float[Tensor, "B D A"], Float[Tensor, "B D A"]]:
        new_mean, new_deviation = super()._refit(ranked, mean, deviation)
        old = self.momentum
        return (
            old * mean + (1 - old) * new_mean,
            (old * deviation + (1 - old) * new_deviation).clamp(min=self.minimal),
        )

    def _answer(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        mean: Float[Tensor, "B D A"],
        ranked: Ranked,
        top: Ranked,
        trace: list[Iteration],
    ) -> Plan:
        self._last = self.held(ranked.first(self.reused).actions)
        return super()._answer(z0, objective, mean, ranked, top, trace)
