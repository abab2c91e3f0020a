"""How to search over imagined actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TRUST = 5.0
"""`MPCConfig.prior_weight` where neither the user nor the model says anything."""
ALONE = 1e9
"""From this `MPCConfig.prior_weight` on the prior acts alone, and nothing is searched for."""


@dataclass(frozen=True)
class MPCConfig:
    """How a planner searches. Small on purpose: a short horizon with a value behind it."""

    horizon: int = 5
    """Imagined decisions."""
    members: int | None = None
    """Dynamics that imagine, the first ones of the ensemble; all if not given."""
    samples: int = 64
    """Candidates of an iteration."""
    elites: int = 16
    """Candidates that the distribution is refitted to."""
    iterations: int = 2
    """Refinements per decision."""
    prior_samples: int = 16
    """Candidates that the action prior proposes, where there is one."""
    prior_noise: float = 0.2
    """Noise on them, in units of half the action range."""
    temperature: float = 1.0
    """Of MPPI's weights, in units of cost."""
    spread: float = 0.8
    """Deviation of the first samples, in units of half the action range."""
    min_std: float = 0.05
    """Least deviation of later samples, in the same units."""
    uncertainty_penalty: float = 0.0
    """Weight of the ensemble's disagreement in the cost; below 0 it is sought instead."""
    prior_weight: float | None = None
    """Return that a plan has to promise for leaving the prior's proposal by half the action range
    throughout, also called trust. A search finds where imagination errs in the right direction; see
    `foresight.planning.objective.NearProposal`. If not given, what earned most when the model tried
    several, and 5 for a model that never did."""
    solver: Literal["mppi", "cem", "icem", "shooting"] = "mppi"
    """mppi weights by cost, cem refits to the best, icem adds coloured noise and reuses elites,
    shooting draws once."""
    start: Literal["last", "proposal", "none"] = "last"
    """Where a search begins: the last plan a decision on, what the prior proposes, or the middle of
    the bounds."""
    judged: bool = False
    """mppi: imagine the answer once more, for its cost and to see that it is finite itself; else a
    decision takes less time."""
    hold: int = 1
    """Imagined steps for which one decision is held; divides the horizon."""
    beta: float = 2.0
    """Exponent of iCEM's coloured noise; 0 is white."""
    refine_steps: int = 0
    """Gradient steps on the best candidates after the search."""
    refine_count: int = 8
    """How many candidates are refined."""
    refine_rate: float = 0.05
    """Rate of the gradient steps, in units of half the action range."""
    seed: int = 0
    """Of the random stream, where nobody gives one for the episode."""
