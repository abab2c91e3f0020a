"""From a configuration to its solver."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.config import MPCConfig
from foresight.planning.solvers.cem import CEM
from foresight.planning.solvers.contracts import Prior
from foresight.planning.solvers.icem import ICEM
from foresight.planning.solvers.mppi import MPPI
from foresight.planning.solvers.refine import Refined
from foresight.planning.solvers.search import Search
from foresight.planning.solvers.shooting import RandomShooting
from foresight.worldmodel.dynamics.rollout import Dynamics

KINDS: dict[str, type[Search]] = {
    "mppi": MPPI,
    "cem": CEM,
    "icem": ICEM,
    "shooting": RandomShooting,
}


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
    if config.solver not in KINDS:
        raise ForesightError(
            f"The solver {config.solver!r} is unknown: choose one of {', '.join(KINDS)}."
        )
    solver = KINDS[config.solver](config, dynamics, low, high, prior, seed)
    return Refined(solver, differentiable) if config.refine_steps else solver
