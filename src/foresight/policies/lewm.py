"""Reaching a goal picture with a LeWorldModel: see, imagine blocks of actions, act, see again."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, Picture
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.data.clip import fit_frames, read_clip
from foresight.planning.lewm import LeWMPlan, LeWMPlanner
from foresight.policies.mpc import expect_robot
from foresight.worldmodel.lewm.inverse import GoalInverse
from foresight.worldmodel.lewm.model import LeWorldModel

GOAL = "goal"
"""The camera that shows where to go, where the environment has one."""


class GoalPolicy(Policy):
    """Sees at every block of actions, decides the next block or blocks, and carries them out.

    The goal is encoded once an episode, every other picture once when it is seen.

    Args:
        model: trained, in eval mode.
        goal: a picture of where to go; the observation's camera `GOAL` if not given.
    """

    def __init__(self, model: LeWorldModel, goal: Picture | None = None) -> None:
        self.model, self._shown = model, goal
        self.seen: Float[Tensor, "P D"]
        self.done: Float[Tensor, "P B"]
        self.goal: Float[Tensor, " D"]
        self._queue: Float[Tensor, "H A"]
        self._step = self.encoded = 0
        self._forget()

    @abstractmethod
    def decide(self) -> Float[Tensor, "H A"]:
        """The next actions in [-1, 1], a multiple of ``every`` of them."""

    def begin(self, seed: int) -> None:
        """Randomness of an episode follows from its seed."""

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode: look at its goal.

        Raises:
            ForesightError: there is no goal picture.
        """
        self._forget()
        self.begin(seed)
        shown = self._shown
        if shown is None:
            shown = _picture(observation.images, GOAL)
        self.goal = self._encode(shown)

    @torch.inference_mode()
    def act(self, observation: Observation) -> Action:
        """The next action ``[A]`` float32, within the bounds."""
        config = self.model.config
        if self._step % config.every == 0:
            seen = self._encode(_picture(observation.images, config.camera))
            self.seen = torch.cat([self.seen, seen[None]])[-config.sizes.history :]
            self.done = self.done[len(self.done) - len(self.seen) + 1 :]
            if not len(self._queue):
                begun = time.process_time()
                self._queue = self.decide()
                self.seconds.append(time.process_time() - begun)
            self.done = torch.cat([self.done, self._queue[: config.every].reshape(1, -1)])
        action, self._queue = self._queue[0], self._queue[1:]
        self._step += 1
        told: Action = self.model.scaled(action).float().cpu().numpy()
        return told

    def notes(self) -> dict[str, Any]:
        """CPU milliseconds of a decision, and pictures that were encoded."""
        if not self.seconds:
            return {}
        mean = 1000 * sum(self.seconds) / len(self.seconds)
        return {"ms_per_plan": mean, "plans": len(self.seconds), "encoded": self.encoded}

    @torch.inference_mode()
    def _encode(self, picture: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, " D"]:
        self.encoded += 1
        size = self.model.config.sizes.image
        shown = fit_frames(np.array(picture)[None], size)  # files give arrays that are read-only
        return self.model.encode(torch.from_numpy(shown))[0]

    def _forget(self) -> None:
        config = self.model.config
        self.seen = torch.zeros(0, config.sizes.dim, device=self.model.device)
        self.done = torch.zeros(0, config.block, device=self.model.device)
        self.goal = torch.zeros(config.sizes.dim, device=self.model.device)
        self._queue = torch.zeros(0, config.actions)
        self._step = self.encoded = 0
        self.seconds: list[float] = []


class LeWMPolicy(GoalPolicy):
    """Model-predictive control towards the goal's embedding.

    Args:
        model: trained, in eval mode.
        plan: how to search.
        goal: see `GoalPolicy`.
    """

    def __init__(
        self, model: LeWorldModel, plan: LeWMPlan | None = None, goal: Picture | None = None
    ) -> None:
        super().__init__(model, goal)
        self.planner = LeWMPlanner(model, plan or LeWMPlan())

    def begin(self, seed: int) -> None:
        """Restart the search's random stream."""
        self.planner.reset(seed)

    def decide(self) -> Float[Tensor, "H A"]:
        """The first blocks of a plan."""
        found = self.planner.plan(self.seen, self.done, self.goal)
        return found[: self.planner.plan_config.carried_out * self.model.config.every]


class InversePolicy(GoalPolicy):
    """A goal-conditioned inverse model: one forward pass for each block of actions.

    Args:
        inverse: trained, in eval mode.
        goal: see `GoalPolicy`.
    """

    def __init__(self, inverse: GoalInverse, goal: Picture | None = None) -> None:
        super().__init__(inverse.model, goal)
        self.inverse = inverse

    def decide(self) -> Float[Tensor, "H A"]:
        """The next block."""
        block: Tensor = self.inverse(self.seen[-1:], self.goal[None])[0]
        return block.view(self.model.config.every, -1)


def _picture(images: Mapping[str, Picture], camera: str) -> Picture:
    if camera not in images:
        raise ForesightError(
            f"There is no picture of camera {camera!r} (there is "
            f"{', '.join(map(repr, images)) or 'none'}): a LeWorldModel sees through the camera it "
            f"was trained on, and is shown its goal by one called {GOAL!r} or by a picture."
        )
    return images[camera]


@dataclass(frozen=True)
class LeWMFactory:
    """Makes the planning policy of a checkpoint; picklable."""

    checkpoint: str
    plan: LeWMPlan = field(default_factory=LeWMPlan)
    device: str = "cpu"
    goal: str | None = None
    """A picture file; the observations' camera `GOAL` if not given."""

    def __call__(self, spec: Spec) -> LeWMPolicy:
        """Load the model and build the policy.

        Raises:
            ForesightError: the model belongs to another robot or is damaged, or the picture cannot
                be read.
        """
        model = LeWorldModel.load(self.checkpoint).to(self.device)
        expect_robot(model.config, spec, f"The model {self.checkpoint}")
        return LeWMPolicy(model, self.plan, _read(self.goal))


@dataclass(frozen=True)
class InverseFactory:
    """Makes the policy of an inverse model's checkpoint; picklable."""

    checkpoint: str
    device: str = "cpu"
    goal: str | None = None
    """As in `LeWMFactory`."""

    def __call__(self, spec: Spec) -> InversePolicy:
        """Load the model and build the policy.

        Raises:
            ForesightError: as `LeWMFactory`.
        """
        inverse = GoalInverse.load(self.checkpoint).to(self.device)
        expect_robot(inverse.model.config, spec, f"The policy {self.checkpoint}")
        return InversePolicy(inverse, _read(self.goal))


def _read(path: str | None) -> Picture | None:
    if path is None:
        return None
    found: Picture = read_clip(Path(path))[0]
    return found
