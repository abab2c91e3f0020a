"""Planning towards a demonstration's states; neither reward nor value is asked."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.perception.encoder import default_dtype
from foresight.planning.guided import first_proposal, guided_search, prior_of
from foresight.planning.objective import Disagreement, NearProposal, Objective, Term
from foresight.planning.solvers import NonFiniteFuturesError, imagine, shift
from foresight.policies.taught.demonstration import Shown
from foresight.policies.taught.heads import TaughtHeads
from foresight.policies.taught.objective import FollowStates
from foresight.policies.taught.progress import Progress, ProgressConfig
from foresight.worldmodel.model import WorldModel


@dataclass(frozen=True)
class FollowConfig:
    """How the agent follows a demonstration."""

    progress: ProgressConfig = field(default_factory=ProgressConfig)
    """Alignment."""
    horizon: int = 4
    """Imagined decisions."""
    samples: int = 96
    """Candidates of an iteration."""
    elites: int = 16
    """Candidates that are weighted."""
    iterations: int = 3
    """Refinements per decision."""
    prior_samples: int = 24
    """Candidates that the inverse model proposes."""
    prior_noise: float = 0.2
    """Noise on them, in units of half the action range."""
    temperature: float = 0.02
    """Of the weights, in units of distance in the space of comparison."""
    warm: Literal["inverse", "last"] = "inverse"
    """Where the search begins: what the inverse model would do, or the last plan a decision on."""
    spread: float = 0.3
    """Deviation of the first samples, in units of half the action range."""
    least: float = 0.05
    """Least deviation."""
    reach: float = 0.3
    """Weight of the learned distance in time between the last imagined state and its goal."""
    early: float = 0.7
    """How much an imagined step counts beside the one after it."""
    trust: float = 3.0
    """Weight of the squared deviation from what the inverse model would do."""
    penalty: float = 0.0
    """Weight of the ensemble's disagreement."""


class Follower:
    """Decides for one scene, from latent states to actions in [-1, 1].

    Where the model imagines nothing finite, the last good plan goes on, and where there is none the
    inverse model decides; ``fallbacks`` counts both.

    Args:
        model: learned and frozen.
        heads: trained on its states.
        config: alignment and search.
        seed: of the search.
    """

    def __init__(
        self, model: WorldModel, heads: TaughtHeads, config: FollowConfig, seed: int = 0
    ) -> None:
        self.model, self.heads, self.config = model, heads, config
        device = next(model.parameters()).device
        dynamics = copy.deepcopy(model.dynamics).to(default_dtype(device))
        self.dynamics = dynamics.eval().requires_grad_(False)
        actions = model.config.actions
        prior = prior_of(self._propose, actions, config.prior_noise, device)
        self.solver = guided_search(self.dynamics, prior, config, seed)
        self.progress: Progress | None = None
        self.last: Float[Tensor, "1 H A"] | None = None
        self.now: Float[Tensor, "1 Z"] | None = None
        self.fallbacks = 0

    def reset(self, shown: Shown) -> None:
        """Begin an episode with this demonstration."""
        self.progress = Progress(shown, self.heads, self.config.progress)
        self.last = self.now = None
        self.fallbacks = 0

    def _goals(self) -> Float[Tensor, "H Z"]:
        assert self.progress is not None
        return self.progress.shown.z[self.progress.goals(self.config.horizon)]

    def _propose(self, z: Float[Tensor, "N Z"]) -> Float[Tensor, "N A"]:
        """What the inverse model would do from here to get to the sub-goal."""
        assert self.progress is not None
        return propose(self.heads, self.progress, z)

    @torch.inference_mode()
    def act(self, z: Float[Tensor, "1 Z"]) -> Float[Tensor, " A"]:
        """The next decision."""
        assert self.progress is not None, "reset() comes first"
        self.progress.update(z[0])
        config = self.config
        proposed = first_proposal(self.solver, z)
        terms: list[Term] = [
            FollowStates(self.heads, self._goals(), config.reach, config.early),
            NearProposal(proposed, config.trust),
        ]
        if config.penalty:
            terms.append(Disagreement(config.penalty))
        on = None if self.last is None else shift(self.last)
        self.now = z
        try:
            start = on if config.warm == "last" else proposed
            self.last = self.solver.plan(z, Objective(*terms), start).actions
        except NonFiniteFuturesError:
            self.fallbacks += 1
            if on is None:
                return self._propose(z)[0].clamp(-1, 1)
            self.last = on
        return self.last[0, 0].float()

    @torch.inference_mode()
    def imagined(self) -> Float[Tensor, "H Z"]:
        """The future of the last plan, averaged over the members; the present where none is."""
        assert self.now is not None, "act() comes first"
        if self.last is None:
            return self.now
        future = imagine(self.dynamics, self.now, self.last[:, None])
        return future[:, 0, 0, 1:].float().mean(0)


def propose(
    heads: TaughtHeads, progress: Progress, z: Float[Tensor, "*batch Z"]
) -> Float[Tensor, "*batch A"]:
    """The inverse model's way to the sub-goal, in as many decisions as it seems to be away.

    Never in fewer than the look-ahead where that lies ahead in the demonstration, so that a state
    which is held is held gently.
    """
    goal = progress.shown.z[progress.goal]
    steps = heads.decisions(z, goal).clamp(min=progress.config.look_ahead, max=heads.config.longest)
    return heads.action(z, goal, steps)
