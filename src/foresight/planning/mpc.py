"""The one planner: from latent states to actions in [-1, 1], again at every decision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.thread_pool import run_alone
from foresight.perception.encoder import default_dtype
from foresight.planning.config import ALONE, TRUST, MPCConfig
from foresight.planning.fast import fast
from foresight.planning.objective import (
    Disagreement,
    ImaginedReturn,
    NearProposal,
    Objective,
    Term,
)
from foresight.planning.solvers import (
    NonFiniteFuturesError,
    Plan,
    PolicyPrior,
    Refined,
    imagine,
    make_solver,
    shift,
)
from foresight.worldmodel.dynamics.rollout import Dynamics
from foresight.worldmodel.model import WorldModel

Propose = Callable[[Tensor], Tensor]
"""A policy that plans begin from: ``z [N, Z] -> a [N, A]`` in [-1, 1]."""


class Adapts(Protocol):
    """Stands between a planner and what it imagines and begins with."""

    def imagining(self, dynamics: Dynamics, /) -> Dynamics:
        """What the planner imagines with, instead of ``dynamics``."""
        ...

    def proposing(self, propose: Propose, /) -> Propose:
        """What plans begin from, instead of ``propose``."""
        ...


class MPCPlanner:
    """Plans for B scenes at once: an objective of terms, a solver, a prior that proposes.

    Where the model imagines nothing finite, the last good plan goes on; where there is none, what
    is proposed, or the middle of the bounds. It warns once, and ``fallbacks`` counts them.

    Args:
        dynamics: imagines.
        actions: A.
        config: the search.
        terms: what plans are judged by, unless `plan` is given others; disagreement and nearness to
            the proposal are added as the configuration says.
        propose: the prior's policy; None plans without.
        seed: of the random stream, the configuration's if not given.
        device: where the search runs.
        model: that features are read with, for `act`.

    Attributes:
        trust: the weight of nearness to the proposal, of all scenes or ``[B]`` of each; at first as
            the configuration says, else as the model's trials do, else `TRUST`.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        actions: int,
        config: MPCConfig,
        terms: Sequence[Term] = (),
        propose: Propose | None = None,
        seed: int | None = None,
        device: torch.device | None = None,
        model: WorldModel | None = None,
    ) -> None:
        self.config, self.dynamics, self.terms = config, dynamics, list(terms)
        self.device = device or torch.device("cpu")
        self.propose = propose
        self._model = model
        self.trust: float | Float[Tensor, " B"] = _trust(config, model)
        self.curiosity: float | Float[Tensor, " B"] = 0.0
        high = torch.ones(actions, device=self.device)
        self._drawn = None
        if propose is not None:
            self._drawn = _Drawn(PolicyPrior(propose, -high, high, config.prior_noise))
        self.solver = make_solver(config, dynamics, -high, high, self._drawn, seed)
        self.last: Float[Tensor, "B H A"] | None = None
        self.latest: Plan | None = None
        self.now: Float[Tensor, "B Z"] | None = None
        self.fallbacks = 0
        self._warned = False

    @classmethod
    def of(
        cls,
        model: WorldModel,
        config: MPCConfig,
        seed: int | None = None,
        dtype: torch.dtype | None = None,
        terms: Sequence[Term] | None = None,
        propose: Propose | None = None,
        adapting: Adapts | None = None,
    ) -> Self:
        """A planner with a world model.

        Args:
            model: trained; copied, so later training does not change the plans.
            config: the search.
            seed: of its random stream.
            dtype: of the networks that imagine; the device's fastest if not given.
            terms: the model's imagined return if not given.
            propose: the model's action prior if not given, where it has one.
            adapting: corrects both; as they are if not given.

        Raises:
            ForesightError: more members than the model has, or terms it cannot judge.
        """
        device = next(model.parameters()).device
        dtype = dtype or default_dtype(device)
        # The fast form rounds weights itself, and keeps what should not be rounded.
        rapid = model.config.dynamics.kind == "mlp" and device.type == "cpu"
        own = model.for_planning(config.members, dtype, torch.float32 if rapid else dtype)
        if propose is None and own.prior is not None:
            propose = own.prior.mean_action
        # Without rewards there is nothing to search for: the prior's proposal is followed.
        usual = [] if own.reward is None and own.prior is not None else [return_of(own)]
        found = usual if terms is None else terms
        dynamics: Dynamics = fast(own.dynamics, dtype) if rapid else own.dynamics
        if adapting is not None:
            dynamics = adapting.imagining(dynamics)
            propose = None if propose is None else adapting.proposing(propose)
        return cls(dynamics, own.config.actions, config, found, propose, seed, device, own)

    @property
    def model(self) -> WorldModel:
        """The model that imagines.

        Raises:
            ForesightError: there is none.
        """
        if self._model is None:
            raise ForesightError("This planner was given no world model: plan from states.")
        return self._model

    def reset(self, seed: int | None = None) -> None:
        """Forget the last plan; with a seed, restart the random stream."""
        self.last = self.latest = self.now = None
        self.fallbacks = 0
        if seed is not None:
            self.solver.seed(seed)

    def act(
        self,
        features: Float[Tensor, "B F"],
        explore: bool | Bool[Tensor, " B"] = False,
        ahead: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "B A"]:
        """The next decision of every scene, from stacked features; see `plan`.

        Args:
            features: of what is seen.
            explore: see `plan`.
            ahead: the states in which the decisions take effect, from those that are seen; the same
                if not given.
        """

        @torch.inference_mode()
        def decide() -> Tensor:
            z = self.model.encode(features.to(self.device))
            return self._plan(z if ahead is None else ahead(z), None, explore)

        return self._alone(decide, len(features))

    def plan(
        self,
        z: Float[Tensor, "B Z"],
        terms: Sequence[Term] | None = None,
        explore: bool | Bool[Tensor, " B"] = False,
    ) -> Float[Tensor, "B A"]:
        """The next decision of every scene, in [-1, 1].

        Args:
            z: present states.
            terms: what this plan is judged by, the planner's own if not given.
            explore: add noise as wide as the search is still unsure, to all scenes or to some.
        """

        @torch.inference_mode()
        def decide() -> Tensor:
            return self._plan(z, terms, explore)

        return self._alone(decide, len(z))

    @torch.inference_mode()
    def imagined(self) -> Float[Tensor, "B H Z"]:
        """The future of the last plan, averaged over the members; the present where none is."""
        assert self.now is not None, "plan() comes first"
        if self.last is None:
            return self.now[:, None]
        future = imagine(self.dynamics, self.now, self.last[:, None])
        return future[:, :, 0, 1:].float().mean(0)

    def _alone(self, decide: Callable[[], Tensor], scenes: int) -> Tensor:
        # What more cores would share for one scene are a thousand operations too small to be worth
        # waiting for each other.
        if scenes == 1 and self.device.type == "cpu" and self.propose is not None:
            return run_alone(decide)
        return decide()

    def _plan(
        self, z: Tensor, terms: Sequence[Term] | None, explore: bool | Bool[Tensor, " B"]
    ) -> Tensor:
        on = None if self.last is None else shift(self.last)
        judged = list(self.terms if terms is None else terms)
        proposed = self._propose(z)
        if proposed is not None and (not judged or _all_alone(self.trust)):
            self.now, self.last = z, proposed
            return proposed[:, 0].float()
        if proposed is not None and self._trusting:
            judged.append(NearProposal(proposed, self.trust))
        if self.config.uncertainty_penalty:
            judged.append(Disagreement(self.config.uncertainty_penalty))
        if isinstance(self.curiosity, Tensor) or self.curiosity:
            judged.append(Disagreement(-self.curiosity))
        starts = {"last": on, "proposal": proposed, "none": None}
        self.now = z
        try:
            self.latest = self.solver.plan(z, Objective(*judged), starts[self.config.start])
        except NonFiniteFuturesError as error:
            return self._fallback(error, z, on, proposed)
        self.last = self.latest.actions
        action = self.last[:, 0].float()
        if isinstance(explore, Tensor) or explore:
            width = self.latest.trace[-1].deviation[:, 0].float()
            if isinstance(explore, Tensor):
                width = width * explore[:, None]
            noise = torch.randn(action.shape, generator=self._generator, device=self.device)
            action = (action + width * noise).clamp(-1, 1)
        return action

    @property
    def _trusting(self) -> bool:
        """Whether leaving the proposal costs anything in any scene."""
        return isinstance(self.trust, Tensor) or self.trust > 0

    @property
    def _generator(self) -> torch.Generator:
        solver = self.solver
        return (solver.solver if isinstance(solver, Refined) else solver).generator

    def _propose(self, z: Tensor) -> Float[Tensor, "B H A"] | None:
        """Draw the prior's candidates; the way of the one without noise."""
        config = self.config
        wanted = config.prior_samples or self._trusting or config.start == "proposal"
        if self._drawn is None or not wanted:
            return None
        count = max(1, config.prior_samples)
        self._drawn.draw(z, count, config.horizon, self.dynamics, self._generator)
        # Where imagination fails, so do proposals after the first; the search says so itself.
        return self._drawn.candidates[:, 0].nan_to_num()

    def _fallback(
        self, error: NonFiniteFuturesError, z: Tensor, on: Tensor | None, proposed: Tensor | None
    ) -> Float[Tensor, "B A"]:
        """What remains of the last good plan, else what is proposed, else the middle."""
        self.fallbacks += 1
        self.last = on
        if not self._warned:
            self._warned = True
            instead = "what is proposed" if proposed is not None else "the middle of the bounds"
            taken = "its last good plan" if on is not None else instead
            warnings.warn(f"The planner goes on with {taken}: {error}", RuntimeWarning, 2)
        if on is not None:
            return on[:, 0].float()
        if proposed is not None:
            return proposed[:, 0].float().clamp(-1, 1)
        return torch.zeros(len(z), len(self.solver.low), device=self.device)


class _Drawn:
    """A prior whose candidates were drawn before the search, so that its objective knows them."""

    def __init__(self, policy: PolicyPrior) -> None:
        self.policy = policy
        self.candidates = torch.zeros(0)

    def draw(
        self, z: Tensor, count: int, horizon: int, dynamics: Dynamics, random: torch.Generator
    ) -> None:
        self.candidates = self.policy.sample(z, count, horizon, dynamics, random)

    def sample(
        self, z0: Tensor, count: int, horizon: int, dynamics: Dynamics, generator: torch.Generator
    ) -> Float[Tensor, "B count H A"]:
        """What was drawn for this decision."""
        return self.candidates[:, :count]


def _trust(config: MPCConfig, model: WorldModel | None) -> float:
    """What the user says, else what the model tried, else what does well where nobody tried."""
    if config.prior_weight is not None:
        return config.prior_weight
    tried = None if model is None else model.config.trust
    return TRUST if tried is None else tried


def _all_alone(trust: float | Tensor) -> bool:
    return not isinstance(trust, Tensor) and trust >= ALONE


def return_of(model: WorldModel) -> ImaginedReturn:
    """The return that a model imagines: rewards, the value at the end, and whether it goes on."""
    goes_on = None if model.continuation is None else model.continuation.probability
    value = None if model.value is None else model.value_of
    return ImaginedReturn(model.reward_of, value, model.config.discount, goes_on, unit_of(model))


def unit_of(model: WorldModel) -> float:
    """What a return is multiplied by, so that prior weight and temperature mean the same anywhere.

    They are made for rewards of up to 1 a step.
    """
    config = model.config
    return config.repeat / max(map(abs, config.rewards)) if config.rewards else 1.0
