"""Make policies from checkpoint folders, in whatever process they are to act."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.spec import Spec
from foresight.envs.registry import EnvConfig
from foresight.perception.config import EncoderConfig
from foresight.perception.encoder import default_dtype
from foresight.perception.stream import FeatureStream
from foresight.planning.fast import fast
from foresight.planning.objective import (
    Disagreement,
    Effort,
    GoalDistance,
    Objective,
    PredictedReward,
    Term,
)
from foresight.planning.solvers import CEM, Dynamics, RandomShooting
from foresight.policies.latent import LatentObserver
from foresight.policies.mpc import expect_robot
from foresight.policies.planner import PlanningPolicy
from foresight.rollout.episode import EpisodeSpec, run_episode
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder
from foresight.worldmodel.state import StateEncoder


@dataclass(frozen=True)
class PlannerConfig:
    """How the agent searches and what for."""

    solver: Literal["cem", "shooting"] = "cem"
    """cem refines its samples, shooting draws them once."""
    samples: int = 500
    """Candidates per iteration."""
    elites: int = 50
    """Candidates that CEM refits to."""
    iterations: int = 5
    """Refinements per decision of CEM."""
    horizon: int = 10
    """Imagined steps."""
    warm_start: bool = True
    """Begin each search from the last plan, one step on."""
    objective: Literal["reward", "goal", "both"] = "reward"
    """Maximise predicted reward, come close to a goal image's latent state, or both at once."""
    reward_weight: float = 1.0
    """Weight of the predicted reward."""
    disagreement: float = 0.0
    """Cost of one unit of disagreement between the members of an ensemble (raw latent units)."""
    goal: str = "expert"
    """The policy whose best frame is the goal image."""
    goal_seeds: tuple[int, ...] = ()
    """Episodes that show the goals, taken in turn; none given: the scene's own, so that start and
    target are those of the episode that is to be solved."""
    goal_steps: int | None = None
    """Cut the episodes that show the goals short; for trial runs."""
    effort: float = 0.0
    """Weight of the mean squared action."""


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
        model = WorldModel.load(self.checkpoint)
        expect_robot(model.config, spec, f"The model {self.checkpoint}")
        encoder, readout = self.eyes.load()
        model.expect_encoder(encoder.fingerprint, readout.fingerprint)
        config = self.planner
        dtype = default_dtype(torch.device("cpu"))  # candidates are many: the fastest products win
        dynamics = imagining_form(model.dynamics, model.config.dynamics, dtype)
        reward = deepcopy(model).to(dtype).reward_of
        high = torch.ones(model.config.actions)
        low = -high
        solver: CEM | RandomShooting
        if config.solver == "cem":
            solver = CEM(
                dynamics,
                low,
                high,
                horizon=config.horizon,
                samples=config.samples,
                elites=config.elites,
                iterations=config.iterations,
            )
        else:
            solver = RandomShooting(dynamics, low, high, config.horizon, config.samples)
        extra: list[Term] = [Effort(config.effort)] if config.effort else []
        if config.disagreement:
            extra.append(Disagreement(config.disagreement))
        if config.objective != "goal":
            extra.append(PredictedReward(reward, config.reward_weight))
        cameras = tuple(camera.name for camera in model.config.cameras)
        observer = LatentObserver(ObservationEncoder(encoder, model.state, readout, cameras))
        if config.objective == "reward":
            fixed = Objective(*extra)
            return PlanningPolicy(
                observer, solver, lambda _: fixed, config.warm_start, model.scaled
            )
        goal = partial(
            goal_state,
            model.state,
            FeatureStream(encoder, readout),
            env=self.env,
            policy=config.goal,
            max_steps=config.goal_steps,
        )
        shown = config.goal_seeds

        def objective(seed: int) -> Objective:
            from_seed = shown[seed % len(shown)] if shown else seed
            return Objective(GoalDistance(goal(seed=from_seed)), *extra)

        return PlanningPolicy(observer, solver, objective, config.warm_start, model.scaled)


def imagining_form(dynamics: Any, config: DynamicsConfig, dtype: torch.dtype) -> Dynamics:
    """A trained dynamics, single or ensemble, for imagining in ``dtype`` only; itself unchanged."""
    if config.kind == "mlp":
        return fast(dynamics, dtype)
    copy: Dynamics = deepcopy(dynamics).to(dtype)
    return copy


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
