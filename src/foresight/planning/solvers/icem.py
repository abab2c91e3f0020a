"""iCEM: the cross-entropy method made sample-efficient."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.objective import Objective
from foresight.planning.solvers.cem import CEM
from foresight.planning.solvers.contracts import Iteration, Plan
from foresight.planning.solvers.imagining import shift
from foresight.planning.solvers.noise import coloured_noise
from foresight.planning.solvers.ranking import Ranked


class ICEM(CEM):
    """The improved cross-entropy method (Pinneri et al. 2020, arXiv 2008.06389).

    Over `CEM`: noise that is correlated in time (power ``1 / f ** beta``); a share of the elites
    (``reuse``) stays in the running, and, shifted by a step, joins the first samples of the next
    decision; the number of samples falls by ``decay`` with each iteration, but not below twice the
    elites; ``momentum`` is the share of the old distribution in the new one.

    The dynamics being deterministic, elites that stay keep their cost and are not imagined again.
    Shifted elites are forgotten when `plan` is called without a warm start, as after a reset, or
    by `seed`.
    """

    decay, reuse, momentum = 1.25, 0.3, 0.1

    def _prepare(self) -> None:
        super()._prepare()
        config = self.config
        if config.beta < 0:
            raise ForesightError(f"iCEM got beta {config.beta}: choose at least 0.")
        self.reused = int(self.reuse * config.elites)
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
        return coloured_noise(shape, -2, self.config.beta, self.generator)

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
