"""The search that agents share: MPPI over normalised actions, with a learned prior's proposals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.planning.solvers import MPPI, PolicyPrior
from foresight.planning.solvers.contracts import Dynamics
from foresight.planning.solvers.search import Options


class Sizes(Protocol):
    """What an agent's configuration says about its search; deviations in half action ranges."""

    @property
    def horizon(self) -> int:
        """Imagined decisions."""

    @property
    def samples(self) -> int:
        """Candidates of an iteration."""

    @property
    def elites(self) -> int:
        """Candidates that are weighted."""

    @property
    def iterations(self) -> int:
        """Refinements per decision."""

    @property
    def prior_samples(self) -> int:
        """Candidates that the prior proposes."""

    @property
    def prior_noise(self) -> float:
        """Noise on them."""

    @property
    def temperature(self) -> float:
        """Of the weights, in units of cost."""

    @property
    def spread(self) -> float:
        """Deviation of the first samples."""

    @property
    def least(self) -> float:
        """Least deviation."""


def prior_of(
    policy: Callable[[Tensor], Tensor], actions: int, noise: float, device: torch.device
) -> PolicyPrior:
    """Proposals in [-1, 1] around a policy ``z [N, Z] -> a [N, A]``."""
    high = torch.ones(actions, device=device)
    return PolicyPrior(policy, -high, high, noise)


def guided_search(dynamics: Dynamics, prior: PolicyPrior, sizes: Sizes, seed: int) -> MPPI:
    """MPPI within the prior's bounds, some of whose candidates the prior proposes.

    Raises:
        ForesightError: sizes that no search can have.
    """
    return MPPI(
        dynamics,
        prior.low,
        prior.high,
        horizon=sizes.horizon,
        samples=sizes.samples,
        elites=sizes.elites,
        iterations=sizes.iterations,
        seed=seed,
        temperature=sizes.temperature,
        initial_deviation=sizes.spread,
        minimal_deviation=sizes.least,
        options=Options(prior=prior, prior_samples=sizes.prior_samples),
    )


def first_proposal(search: MPPI, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B H A"]:
    """The way of the search's prior without noise, rolled out in imagination."""
    prior = search.options.prior
    assert prior is not None, "guided_search() gives it one"
    found = prior.sample(z, 1, search.horizon, search.dynamics, search.generator)
    # Where imagination fails, so do proposals after the first; the search says so itself.
    return found[:, 0].nan_to_num()
