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


class SharedPrior(PolicyPrior):
    """A policy whose proposals are rolled out once for the search and for what anchors it."""

    drawn: tuple[Tensor, Tensor] | None = None
    """States, and the proposals for them that the search has not asked for yet."""

    def draw(self, z0: Float[Tensor, "B Z"], search: MPPI) -> Float[Tensor, "B count H A"]:
        """The proposals that ``search`` will get for these states; the first has no noise."""
        count = max(1, search.options.prior_samples)
        found = super().sample(z0, count, search.horizon, search.dynamics, search.generator)
        self.drawn = z0, found
        return found

    def sample(
        self,
        z0: Float[Tensor, "B Z"],
        count: int,
        horizon: int,
        dynamics: Dynamics,
        generator: torch.Generator,
    ) -> Float[Tensor, "B count H A"]:
        """What was drawn for this very tensor, once; else new rollouts."""
        drawn, self.drawn = self.drawn, None
        if drawn is not None and drawn[0] is z0 and drawn[1].shape[1:3] == (count, horizon):
            return drawn[1]
        return super().sample(z0, count, horizon, dynamics, generator)


def prior_of(
    policy: Callable[[Tensor], Tensor], actions: int, noise: float, device: torch.device
) -> SharedPrior:
    """Proposals in [-1, 1] around a policy ``z [N, Z] -> a [N, A]``."""
    high = torch.ones(actions, device=device)
    return SharedPrior(policy, -high, high, noise)


def guided_search(dynamics: Dynamics, prior: SharedPrior, sizes: Sizes, seed: int) -> MPPI:
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
        judged=False,
        options=Options(prior=prior, prior_samples=sizes.prior_samples),
    )


def first_proposal(search: MPPI, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B H A"]:
    """The way of the search's prior without noise, rolled out in imagination."""
    prior = search.options.prior
    assert isinstance(prior, SharedPrior), "guided_search() gives it one"
    # Where imagination fails, so do proposals after the first; the search says so itself.
    return prior.draw(z, search)[:, 0].nan_to_num()
