"""Acting with a jointly learned model: see, imagine with a value at the end, act, hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.thread_pool import run_alone
from foresight.envs.dmc.protocol import get_protocol
from foresight.perception.encoder import Encoder, default_dtype, load_encoder
from foresight.planning.guided import first_proposal, guided_search, prior_of
from foresight.planning.objective import (
    Disagreement,
    NearProposal,
    Objective,
    PredictedReward,
    Term,
    TerminalValue,
)
from foresight.planning.solvers import shift
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder


@dataclass(frozen=True)
class ImagineConfig:
    """How the agent searches. Small on purpose: a short horizon with a value behind it."""

    horizon: int = 5
    """Imagined decisions."""
    members: int | None = None
    """Dynamics that imagine, the first ones of the ensemble; all if not given."""
    samples: int = 64
    """Candidates of an iteration."""
    elites: int = 16
    """Candidates that are weighted."""
    iterations: int = 2
    """Refinements per decision."""
    prior_samples: int = 16
    """Candidates that the learned action prior proposes."""
    prior_noise: float = 0.2
    """Noise on them, in units of half the action range."""
    temperature: float = 1.0
    """Of the weights, in units of return."""
    spread: float = 0.8
    """Deviation of the first samples, in units of half the action range."""
    least: float = 0.05
    """Least deviation."""
    penalty: float = 0.0
    """Weight of the ensemble's disagreement in the cost; below 0 it is sought instead."""
    trust: float = 5.0
    """Return that a plan has to promise for leaving the prior's proposal by half the action range
    throughout. A search finds where imagination errs in the right direction; see
    `foresight.planning.objective.NearProposal`."""


class Imaginer:
    """Plans for several scenes at once, from latent states to actions in [-1, 1].

    Args:
        model: trained; copied, so later training does not change the plans.
        config: the search.
        seed: of its random stream.
        dtype: of the networks that imagine; the device's fastest if not given.
    """

    def __init__(
        self,
        model: WorldModel,
        config: ImagineConfig,
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        device = next(model.parameters()).device
        model = model.for_planning(config.members, dtype or default_dtype(device))
        if model.prior is None:
            raise ForesightError(
                "This world model has no action prior to plan with: learn one with `foresight "
                "learn`."
            )
        self.model, self.config, self.device = model, config, device
        prior = prior_of(
            model.prior.mean_action,
            model.config.actions,
            config.prior_noise,
            device,
        )
        self.solver = guided_search(model.dynamics, prior, config, seed)
        discount = model.config.discount
        self.terms: list[Term] = [
            PredictedReward(model.reward_of, discount=discount),
            TerminalValue(model.value_of, discount=discount),
        ]
        if config.penalty:
            self.terms.append(Disagreement(config.penalty))
        self.last: Float[Tensor, "B H A"] | None = None

    def reset(self, seed: int | None = None) -> None:
        """Forget the last plan; with a seed, restart the random stream."""
        self.last = None
        if seed is not None:
            self.solver.seed(seed)

    def act(self, features: Float[Tensor, "B F"], explore: bool = False) -> Float[Tensor, "B A"]:
        """The next decision of every scene, in [-1, 1].

        One scene alone is planned for by one core: what more would share are a thousand operations
        too small to be worth waiting for each other.

        Args:
            features: place numbers of the present pictures.
            explore: add noise as wide as the search is still unsure.
        """
        if len(features) == 1 and self.device.type == "cpu":
            return run_alone(lambda: self._act(features, explore))
        return self._act(features, explore)

    @torch.inference_mode()
    def _act(self, features: Float[Tensor, "B F"], explore: bool) -> Float[Tensor, "B A"]:
        z = self.model.encode(features.to(self.device))
        start = None if self.last is None else shift(self.last)
        plan = self.solver.plan(z, self._objective(z), start)
        self.last = plan.actions
        action = plan.actions[:, 0].float()
        if explore:
            width = plan.trace[-1].deviation[:, 0].float()
            noise = torch.randn(action.shape, generator=self.solver.generator, device=self.device)
            action = (action + width * noise).clamp(-1, 1)
        return action

    def _objective(self, z: Float[Tensor, "B Z"]) -> Objective:
        if not self.config.trust:
            return Objective(*self.terms)
        proposed = first_proposal(self.solver, z)
        return Objective(*self.terms, NearProposal(proposed, self.config.trust))


def hold_of(model: WorldModel, protocol: str) -> int:
    """How many decisions of a protocol's environment one decision of the model lasts.

    Raises:
        ForesightError: the protocol's action repeat does not divide the model's.
    """
    own, theirs = model.config.repeat, get_protocol(protocol).repeat
    if own % theirs:
        raise ForesightError(
            f"A model that holds its actions for {own} steps cannot act in protocol {protocol}, "
            f"which repeats them {theirs} times: learn with a multiple of {theirs}."
        )
    return own // theirs


class ImaginingAgent:
    """Decides every ``hold`` steps of the environment and holds the decision in between.

    Args:
        model: trained.
        encoder: the one it was trained with.
        config: the search.
        hold: the model's ``repeat`` if not given, which is right where the environment repeats no
            action itself.
    """

    def __init__(
        self,
        model: WorldModel,
        encoder: Encoder,
        config: ImagineConfig,
        hold: int | None = None,
    ) -> None:
        model.expect_encoder(encoder.fingerprint)
        self.model = model
        self.gaze = ObservationEncoder(encoder, model.state)
        self.imaginer = Imaginer(model, config)
        self.hold = hold or model.config.repeat
        self.held = np.zeros(model.config.actions, np.float32)
        self.step = 0

    def seed(self, seed: int) -> None:
        """Restart the search's random stream."""
        self.imaginer.reset(seed)

    def reset(self, observation: dict[str, Any]) -> None:
        """Start an episode; the first frame is seen by the first ``act``."""
        self.gaze.reset()
        self.imaginer.reset()
        self.step = 0

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """The next action ``[A]`` float32, within the bounds."""
        if self.step % self.hold == 0:
            features = self.gaze.see(observation["images"]["camera"][None])
            action = self.imaginer.act(features)
            self.held = self.model.scaled(action)[0].float().cpu().numpy()
        self.step += 1
        return self.held


@dataclass(frozen=True)
class ImaginingFactory:
    """Makes the agent of a checkpoint in whatever process it is to act; picklable."""

    checkpoint: str
    encoder: str = "foresight-small"
    search: ImagineConfig = ImagineConfig()
    protocol: str = field(default="seed200", metadata={"default_in_hash": False})
    """Of the episodes: an environment that repeats actions itself is asked less often."""

    def __call__(self) -> ImaginingAgent:
        """Load everything and build the agent.

        Raises:
            ForesightError: the model belongs to another encoder, is damaged, or holds its actions
                for a number of steps that the protocol's repeat does not divide.
        """
        model = WorldModel.load(self.checkpoint)
        hold = hold_of(model, self.protocol)
        return ImaginingAgent(model, load_encoder(self.encoder), self.search, hold)
