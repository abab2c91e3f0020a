"""One learned model, several ways of using it: what each part buys is the difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.perception.encoder import load_encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.planning.objective import (
    Disagreement,
    GoalDistance,
    ImaginedReturn,
    Term,
)
from foresight.policies.mpc import MPCPolicy, hold_of
from foresight.worldmodel.model import WorldModel
from studies.goals import NearestGoal
from studies.latent_stats import Grounds
from studies.whitening import Whitening


@dataclass(frozen=True)
class Variant:
    """What a plan is judged by, and how it is searched for."""

    members: int | None = None
    """Dynamics that imagine; all if not given."""
    reward: bool = True
    """Judge by imagined reward and the value at the end."""
    doubt: float = 0.0
    """Weight of the whitened disagreement, in multiples of the calibrated β."""
    goal: Literal["none", "nearest", "mean"] = "none"
    """Judge by the whitened distance to the nearest of the best states of training, or to their
    mean."""
    proposals: bool = True
    """Let the action prior propose candidates; it follows the values, so it knows the reward."""
    trust: bool = True
    """Charge plans for leaving the action prior's proposal, where it proposes at all."""
    search: bool = True
    """Imagine at all; without, the action prior's mean is done."""
    horizon: int | None = None
    """Imagined decisions, if not the search's own number."""


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "FULL": Variant(doubt=1.0),
        "SINGLE": Variant(members=1),
        "NO_UNCERT": Variant(),
        "NO_REWARD": Variant(reward=False, goal="nearest", proposals=False),
        "NO_TRUST": Variant(doubt=1.0, trust=False),
        "PRIOR": Variant(search=False),
        "CAUTIOUS": Variant(doubt=2.0),
        "NO_PROPOSALS": Variant(proposals=False),
        "NO_REWARD_FAR": Variant(reward=False, goal="nearest", proposals=False, horizon=8),
        "MEAN_GOAL": Variant(reward=False, goal="mean", proposals=False),
    }
)
"""Variants by name. FULL is everything; the others differ from it, or from NO_UNCERT, in one part.
"""


def variant(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ForesightError: there is none.
    """
    if name not in VARIANTS:
        raise ForesightError(f"Unknown variant {name!r}: choose from {', '.join(VARIANTS)}.")
    return VARIANTS[name]


def terms_of(chosen: Variant, model: WorldModel, grounds: Grounds, beta: float) -> list[Term]:
    """The objective's terms for a variant.

    Args:
        chosen: the variant.
        model: the one that imagines.
        grounds: of its latent space.
        beta: reward that one unit of whitened disagreement stands for; see
            `studies.penalty.planning_beta`.
    """
    units = Whitening(grounds.whiten.to(next(model.parameters()).device))
    terms: list[Term] = []
    if chosen.reward:
        terms.append(ImaginedReturn(model.reward_of, model.value_of, model.config.discount))
    goals = grounds.goals.to(units.matrix.device)
    if chosen.goal == "nearest":
        terms.append(NearestGoal(goals, units=units))
    elif chosen.goal == "mean":
        terms.append(GoalDistance(goals.mean(0), units=units))
    if chosen.doubt:
        terms.append(Disagreement(chosen.doubt * beta, units=units))
    return terms


class Reflex(MPCPlanner):
    """Does what the action prior thinks at first sight."""

    @torch.inference_mode()
    def act(
        self,
        features: Float[Tensor, "B F"],
        explore: bool | Bool[Tensor, " B"] = False,
        ahead: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "B A"]:
        """The prior's mean action of every scene, in [-1, 1]; it never explores."""
        z = self.model.encode(features.to(self.device))
        z = z if ahead is None else ahead(z)
        assert self.model.prior is not None
        return self.model.prior.mean_action(z).float()


def imaginer_of(
    chosen: Variant,
    model: WorldModel,
    search: MPCConfig,
    grounds: Grounds,
    beta: float,
    seed: int = 0,
) -> MPCPlanner:
    """The planner of a variant."""
    config = replace(
        search,
        members=chosen.members or search.members,
        horizon=chosen.horizon or search.horizon,
        prior_samples=search.prior_samples if chosen.proposals else 0,
        uncertainty_penalty=0.0,  # in raw units; the variant's own term is whitened
        prior_weight=search.prior_weight if chosen.proposals and chosen.trust else 0.0,
    )
    imaginer = (MPCPlanner if chosen.search else Reflex).of(model, config, seed)
    if chosen.search:
        imaginer.terms = terms_of(chosen, imaginer.model, grounds, beta)
    return imaginer


@dataclass(frozen=True)
class VariantFactory:
    """Makes a variant's agent in whatever process it is to act; picklable."""

    checkpoint: str
    grounds: str
    """File of the latent space's `Grounds`."""
    chosen: Variant = field(default_factory=Variant)
    beta: float = 0.0
    search: MPCConfig = field(default_factory=MPCConfig)
    encoder: str = "foresight-small"

    def __call__(self, spec: Spec) -> MPCPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: the model belongs to another encoder, a file is damaged, or the
                rate does not fit.
        """
        model, grounds = WorldModel.load(self.checkpoint), Grounds.load(Path(self.grounds))
        imaginer = imaginer_of(self.chosen, model, self.search, grounds, self.beta)
        hold = hold_of(model, spec)
        return MPCPolicy(model, load_encoder(self.encoder), imaginer.config, hold, imaginer)
