"""The cross-entropy method."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.objective import Objective
from foresight.planning.solvers.contracts import Iteration, Plan
from foresight.planning.solvers.ranking import Ranked, best_of
from foresight.planning.solvers.search import Search, refuse_non_finite


class CEM(Search):
    """The cross-entropy method.

    Samples from a diagonal Gaussian clipped to the bounds, refits it to the elites, and repeats.
    The mean itself competes as a candidate, so an iteration never loses a good warm start.
    Proposals of a prior are imagined once and stay in the running for all iterations.
    """

    def _prepare(self) -> None:
        super()._prepare()
        config = self.config
        name, half = type(self).__name__, (self.high - self.low) / 2
        self.elites, self.iterations = config.elites, config.iterations
        self.initial, self.minimal = config.spread * half, config.min_std * half
        if not 1 < config.elites <= config.samples:
            raise ForesightError(
                f"{name} got {config.elites} elites of {config.samples} samples: choose at least 2 "
                "and at most all."
            )
        if config.iterations < 1 or config.spread <= 0 or config.min_std < 0:
            raise ForesightError(
                f"{name} got {config.iterations} iterations and deviations {config.spread} "
                f"(initial) and {config.min_std} (minimal): choose at least 1 iteration, above 0 "
                "and at least 0."
            )

    @torch.inference_mode()
    def plan(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        warm_start: Float[Tensor, "B H A"] | None = None,
    ) -> Plan:
        """Refine a distribution over plans and return the best candidate ever imagined."""
        mean = self._start(z0, warm_start)
        deviation = self.initial.expand_as(mean)
        proposed = self._first(z0, warm_start)
        known: list[Ranked] = []
        top: list[Ranked] = []
        trace = []
        for turn in range(self.iterations):
            extra = proposed if turn == 0 else proposed[:, :0]
            fresh = self._sample(mean, deviation, self._count(turn) - extra.shape[1])
            candidates = torch.cat([fresh, extra], dim=1)
            costs = self._judge(z0, objective, candidates)
            if not top:
                refuse_non_finite(costs)
            ranked = best_of(self.elites, candidates, costs, *known)
            top = [best_of(self.kept, candidates, costs, *top)]
            refitted = self._refit(ranked, mean, deviation)
            # Where nothing finite was seen this time, the distribution stays as it is.
            seen = ranked.costs[:, :1, None].isfinite()
            mean = torch.where(seen, refitted[0], mean)
            deviation = torch.where(seen, refitted[1], deviation)
            trace.append(
                Iteration(
                    best=costs.amin(-1),
                    elite=ranked.costs.mean(-1),
                    spread=deviation.mean((-2, -1)),
                    costs=costs,
                    mean=mean,
                    deviation=deviation,
                )
            )
            if turn == 0:
                here = slice(fresh.shape[1], None)
                prior = Ranked(candidates[:, here], costs[:, here])
            known = self._carried(ranked, prior)
        return self._answer(z0, objective, mean, ranked, top[0], trace)

    def _count(self, turn: int) -> int:
        """Candidates imagined in this iteration."""
        return self.samples

    def _first(
        self, z0: Float[Tensor, "B Z"], warm_start: Float[Tensor, "B H A"] | None
    ) -> Float[Tensor, "B P D A"]:
        """Candidates that join the first iteration's samples; at most all but one of them."""
        return self._proposed(z0)[:, : self.samples - 1]

    def _carried(self, ranked: Ranked, proposed: Ranked) -> list[Ranked]:
        """What was judged already and competes in the next iteration too."""
        return [proposed]

    def _noise(self, shape: tuple[int, ...]) -> Float[Tensor, "B S D A"]:
        """Standard noise, independent between decisions."""
        return torch.randn(shape, generator=self.generator, device=self.low.device)

    def _sample(
        self, mean: Float[Tensor, "B D A"], deviation: Float[Tensor, "B D A"], count: int
    ) -> Float[Tensor, "B S D A"]:
        noise = self._noise((len(mean), count, *mean.shape[1:]))
        candidates = mean[:, None] + deviation[:, None] * noise
        candidates[:, 0] = mean
        return candidates.clamp(self.low, self.high)

    def _refit(
        self, ranked: Ranked, mean: Float[Tensor, "B D A"], deviation: Float[Tensor, "B D A"]
    ) -> tuple[Float[Tensor, "B D A"], Float[Tensor, "B D A"]]:
        """Mean and standard deviation of the elites."""
        return ranked.actions.mean(1), ranked.actions.std(1).clamp(min=self.minimal)

    def _answer(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        mean: Float[Tensor, "B D A"],
        ranked: Ranked,
        top: Ranked,
        trace: list[Iteration],
    ) -> Plan:
        """The best candidate of all iterations."""
        elites = self.held(top.actions)
        return Plan(elites[:, 0], top.costs[:, 0], trace, elites, top.costs)
