"""Acting while learning: for several scenes at once, with noise, and keep what was seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from foresight.core.observation import Observation
from foresight.core.policy import BatchPolicy
from foresight.core.stopwatch import Stopwatch
from foresight.perception.encoder import Encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.training.shifts import all_views, by_scene
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder


class ActorSampler:
    """Decisions drawn from a model's action prior, without a search.

    Noise that goes on in one direction for a while reaches places that noise drawn anew for each
    decision does not (Eberhard et al. 2023, "Pink noise is all you need"); each decision alone is
    distributed as the prior says.

    Args:
        model: whose prior; as it is at each decision.
        seed: of what is drawn.
        correlation: of the noise of two decisions in a row, in [0, 1).
    """

    def __init__(self, model: WorldModel, seed: int, correlation: float = 0.0) -> None:
        assert model.prior is not None
        self.model, self.prior, self.correlation = model, model.prior, correlation
        self.device = next(model.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self._noise: Float[Tensor, "N A"] | None = None

    def reset(self) -> None:
        """Forget the noise of the last episodes."""
        self._noise = None

    @torch.no_grad()
    def act(
        self, stacked: Float[Tensor, "N X"], explore: bool | Bool[Tensor, " N"] = True
    ) -> Float[Tensor, "N A"]:
        """Decisions in [-1, 1]; those of scenes that do not explore are the prior's mean."""
        z = self.model.encode(stacked.float().to(self.device))
        mean, deviation = self.prior(z)
        drawn, _ = self.prior.shaped(mean, deviation, self._next_noise(mean))
        if explore is True:
            return drawn
        wanted = torch.as_tensor(explore, device=z.device).reshape(-1, 1)
        return torch.where(wanted, drawn, torch.tanh(mean))

    def _next_noise(self, like: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Standard normal, an AR(1) process along the decisions."""
        fresh = torch.randn(like.shape, generator=self.generator, device=self.device)
        if self._noise is not None:
            kept = self.correlation
            fresh = kept * self._noise + (1 - kept**2) ** 0.5 * fresh
        self._noise = fresh
        return fresh


class ExploringPolicy(BatchPolicy):
    """Acts with a model that is still learning; a planner's noise is as wide as it is unsure.

    Args:
        model: a planner copies it, so later learning does not change the plans.
        encoder: its eyes.
        planner: the search; None draws from the action prior instead.
        seed: of search and noise, for all scenes together.
        explore: without, it acts as well as it can.
        watch: times ``encode``.
        shifts: views beside the one that is acted on (`foresight.training.shifts`).
        correlation: of the noise of the action prior, if it acts (`ActorSampler`).

    Attributes:
        features: numbers of every observation, ``[V N, f]`` each: as it was acted on, then shifted.
    """

    def __init__(
        self,
        model: WorldModel,
        encoder: Encoder,
        planner: MPCConfig | None,
        seed: int = 0,
        explore: bool = True,
        watch: Stopwatch | None = None,
        shifts: int = 0,
        correlation: float = 0.0,
    ) -> None:
        self.model, self.shifts = model, shifts
        self.seeds: Sequence[int] = ()
        self.explore: bool | Bool[Tensor, " N"] = explore
        self.watch = watch or Stopwatch()
        self.cameras = [camera.name for camera in model.config.cameras]
        self.eyes = ObservationEncoder(encoder, model.state, cameras=tuple(self.cameras))
        self.decider: MPCPlanner | ActorSampler = (
            ActorSampler(model, seed, correlation)
            if planner is None
            else MPCPlanner.of(model, planner, seed)
        )
        self.features: list[Float[Tensor, "N f"]] = []

    def attempt(self, trust: Float[Tensor, " N"], explore: Bool[Tensor, " N"]) -> None:
        """Give each scene a prior weight of its own, if it plans, and noise to some of them."""
        if isinstance(self.decider, MPCPlanner):
            self.decider.trust = trust.to(self.decider.device)
        self.explore = explore.to(self.decider.device)

    def wonder(self, worth: Float[Tensor, " N"]) -> None:
        """Say what the members' disagreement is worth to each scene, if it plans."""
        if isinstance(self.decider, MPCPlanner):
            self.decider.curiosity = worth.to(self.decider.device)

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin an episode of every scene."""
        self.eyes.reset()
        self.decider.reset()
        self.features, self.seeds = [], seeds

    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """The next actions, in the environment's units."""
        frames = {
            name: all_views([o.images[name] for o in observations], self.seeds, self.shifts)
            for name in self.cameras
        }
        state = self.model.state
        felt = torch.from_numpy(np.stack([o.state for o in observations]))
        proprio = felt.repeat(self.shifts + 1, 1)
        with self.watch.stage("encode"):
            stacked = self.eyes.see(frames, proprio if state.proprio else None)
        newest = stacked[:, -state.step_width :]
        self.features.append(newest[:, : state.step_features].bfloat16().cpu())
        actions = self.decider.act(stacked[: len(observations)], explore=self.explore)
        return self.model.scaled(actions).float().cpu().numpy()

    def episodes(self, lengths: Sequence[int]) -> list[Float[Tensor, "*views t f"]]:
        """The features of each scene, as far as its episode went; with shifts ``[V, t, f]``."""
        return by_scene(torch.stack(self.features, 1), lengths, self.shifts)
