"""Sizes of a search, and the solver that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.solvers import CEM, ICEM, MPPI, Dynamics, Prior, RandomShooting, Refined
from foresight.planning.solvers.search import Options, Search


@dataclass(frozen=True)
class SearchConfig:
    """How to search; the defaults decide in tens of milliseconds on two CPU cores.

    That is for five members of 512 hidden units and a state of 128. The horizon is short: what
    comes after it belongs to a terminal value.
    """

    solver: Literal["cem", "icem", "mppi", "shooting"] = "cem"
    """cem refits to the best, icem adds coloured noise and reuses elites, mppi weights by cost,
    shooting draws once."""
    samples: int = 128
    """Candidates per iteration."""
    elites: int = 16
    """Candidates that the distribution is refitted to."""
    iterations: int = 3
    """Refinements per decision."""
    horizon: int = 5
    """Imagined steps."""
    hold: int = 1
    """Imagined steps for which one decision is held; divides the horizon."""
    prior_samples: int = 0
    """Candidates that the action prior proposes, where there is one."""
    initial_deviation: float = 0.5
    """Of the first samples, in units of half the action range."""
    minimal_deviation: float = 0.02
    """The least of later samples, in the same units."""
    beta: float = 2.0
    """Exponent of iCEM's coloured noise; 0 is white."""
    temperature: float = 0.5
    """Of MPPI's weights, in units of cost."""
    refine_steps: int = 0
    """Gradient steps on the best candidates after the search."""
    refine_count: int = 8
    """How many candidates are refined."""
    refine_rate: float = 0.05
    """Rate of the gradient steps, in units of half the action range."""


def make_solver(
    config: SearchConfig,
    dynamics: Dynamics,
    low: Float[Tensor, " A"],
    high: Float[Tensor, " A"],
    prior: Prior | None = None,
    seed: int = 0,
    differentiable: Dynamics | None = None,
) -> Search | Refined:
    """The solver that the configuration describes.

    Args:
        config: how to search.
        dynamics: imagines the candidates; single or ensemble.
        low: lowest actions ``[A]``; their device is where the search runs.
        high: highest actions ``[A]``.
        prior: proposes ``config.prior_samples`` candidates.
        seed: of the random stream.
        differentiable: the same dynamics with gradients, for ``refine_steps``; ``dynamics`` itself
            if left out.

    Raises:
        ForesightError: sizes that cannot be searched with, or an unknown solver.
    """
    options = Options(config.hold, prior, config.prior_samples, max(10, config.refine_count))
    solver = _sampling(config, dynamics, low, high, seed, options)
    if config.refine_steps == 0:
        return solver
    return Refined(
        solver, differentiable, config.refine_count, config.refine_steps, config.refine_rate
    )


def _sampling(
    config: SearchConfig, dynamics: Dynamics, low: Tensor, high: Tensor, seed: int, options: Options
) -> Search:
    if config.solver == "shooting":
        return RandomShooting(
            dynamics, low, high, config.horizon, config.samples, seed=seed, options=options
        )
    kinds: dict[str, type[CEM]] = {"cem": CEM, "icem": ICEM, "mppi": MPPI}
    if config.solver not in kinds:
        raise ForesightError(
            f"The solver {config.solver!r} is unknown: choose cem, icem, mppi or shooting."
        )
    own: dict[str, dict[str, float]] = {
        "icem": {"beta": config.beta},
        "mppi": {"temperature": config.temperature},
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
        initial_deviation=config.initial_deviation,
        minimal_deviation=config.minimal_deviation,
        options=options,
        **own.get(config.solver, {}),  # type: ignore[arg-type]
    )
