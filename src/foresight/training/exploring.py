"""Acting while learning: plan with noise, for several scenes at once, and keep what was seen."""

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


class ExploringPolicy(BatchPolicy):
    """The planner on a model that is still learning, with noise as wide as the search is unsure.

    Args:
        model: copied, so later learning does not change the plans.
        encoder: its eyes.
        planner: the search.
        seed: of search and noise, for all scenes together.
        explore: without, it acts as well as it can.
        watch: times ``encode``.
        shifts: views beside the one that is acted on (`foresight.training.shifts`).

    Attributes:
        features: numbers of every observation, ``[V N, f]`` each: as it was acted on, then shifted.
    """

    def __init__(
        self,
        model: WorldModel,
        encoder: Encoder,
        planner: MPCConfig,
        seed: int = 0,
        explore: bool = True,
        watch: Stopwatch | None = None,
        shifts: int = 0,
    ) -> None:
        self.model, self.shifts = model, shifts
        self.seeds: Sequence[int] = ()
        self.explore: bool | Bool[Tensor, " N"] = explore
        self.watch = watch or Stopwatch()
        self.cameras = [camera.name for camera in model.config.cameras]
        self.eyes = ObservationEncoder(encoder, model.state, cameras=tuple(self.cameras))
        self.planner = MPCPlanner.of(model, planner, seed)
        self.features: list[Float[Tensor, "N f"]] = []

    def attempt(self, trust: Float[Tensor, " N"], explore: Bool[Tensor, " N"]) -> None:
        """Give each scene a prior weight of its own, and noise to some of them."""
        self.planner.trust = trust.to(self.planner.device)
        self.explore = explore.to(self.planner.device)

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin an episode of every scene."""
        self.eyes.reset()
        self.planner.reset()
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
        actions = self.planner.act(stacked[: len(observations)], explore=self.explore)
        return self.model.scaled(actions).float().cpu().numpy()

    def episodes(self, lengths: Sequence[int]) -> list[Float[Tensor, "*views t f"]]:
        """The features of each scene, as far as its episode went; with shifts ``[V, t, f]``."""
        return by_scene(torch.stack(self.features, 1), lengths, self.shifts)
