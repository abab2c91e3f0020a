"""How to search over imagined actions, and the solver that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.solvers import CEM, ICEM, MPPI, Dynamics, Prior, RandomShooting, Refined
from foresight.planning.solvers.search import Options, Search


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
    prior_weight: float = 5.0
    """Return that a plan has to promise for leaving the prior's proposal by half the action range
    throughout. A search finds where imagination errs in the right direction; see
    `foresight.planning.objective.NearProposal`."""
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


def make_solver(
    config: MPCConfig,
    dynamics: Dynamics,
    low: Float[Tensor, " A"],
    high: Float[Tensor, " A"],
    prior: Prior | None = None,
    seed: int | None = None,
    differentiable: Dynamics | None = None,
) -> Search | Refined:
    """The solver that the configuration describes.

    Args:
        config: how to search.
        dynamics: imagines the candidates; single or ensemble.
        low: lowest actions ``[A]``; their device is where the search runs.
        high: highest actions ``[A]``.
        prior: proposes ``config.prior_samples`` candidates; without one there are none.
        seed: of the random stream, the configuration's if not given.
        differentiable: the same dynamics with gradients, for ``refine_steps``; ``dynamics`` itself
            if left out.

    Raises:
        ForesightError: sizes that cannot be searched with, or an unknown solver.
    """
    proposed = config.prior_samples if prior is not None else 0
    options = Options(config.hold, prior, proposed, max(10, config.refine_count))
    seed = config.seed if seed is None else seed
    solver = _sampling(config, dynamics, low, high, seed, options)
    if config.refine_steps == 0:
        return solver
    return Refined(
        solver, differentiable, config.refine_count, config.refine_steps, config.refine_rate
    )


def _sampling(
    config: MPCConfig, dynamics: Dynamics, low: Tensor, high: Tensor, seed: int, options: Options
) -> Search:
    if config.solver == "shooting":
        return RandomShooting(
            dynamics, low, high, config.horizon, config.samples, seed=seed, options=options
        )
    kinds: dict[str, type[CEM]] = {"cem": CEM, "icem": ICEM, "mppi": MPPI}
    if config.solver not in kinds:
        raise ForesightError(
            f"The solver {config.solver!r} is unknown: choose mppi, cem, icem or shooting."
        )
    own: dict[str, dict[str, float | bool]] = {
        "icem": {"beta": config.beta},
        "mppi": {"temperature": config.temperature, "judged": config.judged},
    }
    return kinds[config.solver](
        dynamics,
        low,
        high,
        horizon=config.horizon,
        samples=config.samples,
        elites=config.elites,
        iterations=config.iterations,
        seed=seed,
        initial_deviation=config.spread,
        minimal_deviation=config.min_std,
        options=options,
        **own.get(config.solver, {}),  # type: ignore[arg-type]
    )
