"""Make policies from checkpoint folders, in whatever process they are to act."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.spec import Spec
from foresight.envs.registry import EnvConfig
from foresight.perception.config import EncoderConfig
from foresight.perception.stream import FeatureStream
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.planning.objective import Effort, GoalDistance, ImaginedReturn, Term
from foresight.policies.delayed.compensator import DelayCompensator, Lateness
from foresight.policies.delayed.queue import Delays
from foresight.policies.latent import LatentObserver
from foresight.policies.mpc import expect_robot
from foresight.policies.planner import PlanningPolicy
from foresight.rollout.episode import EpisodeSpec, run_episode
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder
from foresight.worldmodel.state import StateEncoder


@dataclass(frozen=True)
class PlannerConfig(MPCConfig):
    """How a world model without a prior and values is planned with, and what for."""

    objective: Literal["reward", "goal", "both"] = "reward"
    """Maximise predicted reward, come close to a goal image's latent state, or both at once."""
    reward_weight: float = 1.0
    """Weight of the predicted reward."""
    goal: str = "expert"
    """The policy whose best frame is the goal image."""
    goal_seeds: tuple[int, ...] = ()
    """Episodes that show the goals, taken in turn; none given: the scene's own, so that start and
    target are those of the episode that is to be solved."""
    goal_steps: int | None = None
    """Cut the episodes that show the goals short; for trial runs."""
    effort: float = 0.0
    """Weight of the mean squared action."""


GOAL_SEARCH = PlannerConfig(
    solver="cem",
    samples=500,
    elites=50,
    iterations=5,
    horizon=10,
    spread=0.5,
    min_std=0.02,
    prior_samples=0,
    prior_weight=0.0,
)
"""The search of a model that has no prior to begin from and no value at the end."""


@dataclass(frozen=True)
class PlannerFactory:
    """Makes the planning policy of a trained world model; picklable."""

    checkpoint: str
    eyes: EncoderConfig
    planner: PlannerConfig
    env: EnvConfig
    """Where the goals are shown, with pictures as the policy sees them."""

    def __call__(self, spec: Spec) -> PlanningPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: the world model belongs to another encoder, readout or robot, or is
                damaged.
        """
        return self._of(WorldModel.load(self.checkpoint), spec)

    def _of(self, model: WorldModel, spec: Spec) -> PlanningPolicy:
        expect_robot(model.config, spec, f"The model {self.checkpoint}")
        encoder, readout = self.eyes.load()
        model.config.expect_encoder(encoder.fingerprint, readout.fingerprint)
        config = self.planner
        planner = MPCPlanner.of(model, config, terms=[])
        extra: list[Term] = [Effort(config.effort)] if config.effort else []
        if config.objective != "goal":
            extra.append(ImaginedReturn(planner.model.reward_of, weight=config.reward_weight))
        cameras = tuple(camera.name for camera in model.config.cameras)
        observer = LatentObserver(ObservationEncoder(encoder, model.state, readout, cameras))
        if config.objective == "reward":
            return PlanningPolicy(observer, planner, lambda _: extra, model.scaled)
        goal = partial(
            goal_state,
            model.state,
            FeatureStream(encoder, readout),
            env=self.env,
            policy=config.goal,
            max_steps=config.goal_steps,
        )
        shown = config.goal_seeds

        def terms(seed: int) -> list[Term]:
            from_seed = shown[seed % len(shown)] if shown else seed
            return [GoalDistance(goal(seed=from_seed)), *extra]

        return PlanningPolicy(observer, planner, terms, model.scaled)


@dataclass(frozen=True)
class DelayedPlannerFactory(PlannerFactory):
    """Makes the same policy for a robot with delays; picklable."""

    lateness: Lateness = field(default_factory=Delays)

    def __call__(self, spec: Spec) -> PlanningPolicy:
        """As `PlannerFactory`."""
        model = WorldModel.load(self.checkpoint)  # the planner's own copy may be rounded
        policy = self._of(model, spec)
        policy.compensator = DelayCompensator(model.dynamics, model.config, 1, self.lateness)
        return policy


@torch.inference_mode()
def goal_state(
    state: StateEncoder,
    stream: FeatureStream,
    env: EnvConfig,
    seed: int,
    policy: str,
    max_steps: int | None = None,
) -> Float[Tensor, "1 Z"]:
    """The latent state at the best moment of a policy's episode of a seed.

    The last of the frames with the highest reward, seen with its own history. Of the very seed that
    is to be solved, scene and target are those of that episode.
    """
    frames = _demonstration(EpisodeSpec(env, seed, policy, max_steps))
    features = torch.as_tensor(stream.episode(frames)).float()
    return state.episode(features)[-1:]


@lru_cache(maxsize=64)
def _demonstration(spec: EpisodeSpec) -> np.ndarray:
    """Frames up to the best one; kept, as policies of several views are shown the same."""
    episode = run_episode(spec)
    assert episode.reward is not None
    best = np.flatnonzero(episode.reward == episode.reward.max())[-1]
    return next(iter(episode.images.values()))[: best + 1]
