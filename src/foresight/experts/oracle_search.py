"""Search over control sequences: an evolution strategy with coloured noise and kept elites.

Candidates are mutations of the best sequences so far. A mutation adds noise that is drawn at knots
and held or interpolated between them, with its strength drawn afresh for each candidate, so that
one batch holds bold ideas beside fine corrections. Since the simulator is exact, the best sequence
is never forgotten: a decision starts from the elites of the decision before, moved on by the time
that has passed (iCEM: Pinneri et al., 2008.06389; predictive sampling: Howell et al., 2212.00541).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Score = Callable[[Array], Array]


@dataclass(frozen=True)
class SearchSettings:
    """How candidates are drawn."""

    samples: int = 48
    """Candidates in one iteration."""
    elites: int = 6
    """Sequences that are kept and mutated."""
    noise: tuple[float, float] = (0.1, 1.0)
    """Weakest and strongest mutation (standard deviation, controls lie in -1 … 1)."""
    knots: tuple[int, ...] = (2, 5, 10)
    """Distances between noise knots, in decisions; each candidate draws one of them."""
    fresh: float = 0.1
    """Share of candidates that start from zero instead of an elite."""


class Population:
    """The best control sequences found so far for the present state.

    Args:
        settings: How candidates are drawn.
        horizon: Decisions in a sequence.
        low: Lowest controls, ``[A]``.
        high: Highest controls, ``[A]``.
        rng: The only source of randomness.
    """

    def __init__(
        self,
        settings: SearchSettings,
        horizon: int,
        low: Array,
        high: Array,
        rng: np.random.Generator,
    ) -> None:
        self.settings = settings
        self.horizon = horizon
        self._middle = (low + high) / 2.0
        self._half = (high - low) / 2.0
        self._rng = rng
        # Sequences are kept on the unit scale, [E, H, A], best first.
        self._elites = np.zeros((1, horizon, len(low)))

    @property
    def best(self) -> Array:
        """Best sequence so far in the units of the task, float64 ``[H, A]``."""
        return self._to_controls(self._elites[0])

    def shift(self, decisions: int) -> None:
        """Move all sequences on by ``decisions``; the last control is held at the end."""
        if decisions <= 0:
            return
        index = np.minimum(np.arange(self.horizon) + decisions, self.horizon - 1)
        self._elites = self._elites[:, index]

    def improve(self, score: Score, iterations: int) -> float:
        """Search on from the present elites.

        Args:
            score: Maps controls ``[S, H, A]`` to scores ``[S]``; larger is better.
            iterations: Batches of candidates, at least 1.

        Returns:
            The score of the best sequence.
        """
        scores = score(self._to_controls(self._elites))
        for _ in range(iterations):
            drawn = self._draw()
            pool = np.concatenate([self._elites, drawn])
            scores = np.concatenate([scores, score(self._to_controls(drawn))])
            # A stable sort keeps ties in order, so the outcome never depends on chance.
            order = np.argsort(-scores, kind="stable")[: self.settings.elites]
            self._elites, scores = pool[order], scores[order]
        return float(scores[0])

    def _to_controls(self, sequences: Array) -> Array:
        # Actions leave the oracle as float32: plan with exactly the numbers that will be sent.
        return (self._middle + self._half * sequences).astype(np.float32).astype(np.float64)

    def _draw(self) -> Array:
        """Draw candidates ``[S, H, A]`` on the unit scale."""
        settings, rng = self.settings, self._rng
        count = settings.samples
        # Half of the parents are the best sequence, the others any elite.
        parents = rng.integers(len(self._elites), size=count)
        parents[rng.random(count) < 0.5] = 0
        base = self._elites[parents]
        base[rng.random(count) < settings.fresh] = 0.0
        weak, strong = np.log(settings.noise)
        strength = np.exp(rng.uniform(weak, strong, size=(count, 1, 1)))
        noise = self._coloured(count) * strength
        return np.clip(base + noise, -1.0, 1.0)

    def _coloured(self, count: int) -> Array:
        """Draw unit noise ``[S, H, A]``, held or interpolated between knots."""
        settings, rng = self.settings, self._rng
        spacing = np.array(settings.knots)[rng.integers(len(settings.knots), size=count)]
        knots = self.horizon // min(settings.knots) + 3
        values = rng.standard_normal((count, knots, self._elites.shape[-1]))
        # A random phase keeps the joints between knots from always falling on the same decision.
        place = (np.arange(self.horizon) + (rng.random(count) * spacing)[:, None]) / spacing[
            :, None
        ]
        left = place.astype(np.int64)
        weight = (place - left) * (rng.random(count) < 0.5)[:, None]
        rows = np.arange(count)[:, None]
        blend = weight[..., None]
        return values[rows, left] * (1.0 - blend) + values[rows, left + 1] * blend
