"""Reaching a goal picture: see, imagine blocks of actions, act, see again."""

from __future__ import annotations

import time
from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, Picture
from foresight.core.policy import Action, Policy
from foresight.data.clip import read_clip
from foresight.planning.lewm import BlockPlanner

GOAL = "goal"
"""The camera that shows where to go, where the environment has one."""


class GoalView(Protocol):
    """How a model sees what a policy sees.

    Attributes:
        every: steps of the robot between two embeddings; their actions are one block.
        history: embeddings that the model is told of at most.
        actions: numbers of an action.
    """

    every: int
    history: int
    actions: int

    def see(self, observation: Observation) -> Float[Tensor, " D"]:
        """The embedding of what is seen now."""
        ...

    def aim(self, picture: Picture) -> Float[Tensor, " G"]:
        """The embedding of a goal."""
        ...

    def scaled(self, action: Float[Tensor, " A"]) -> Float[Tensor, " A"]:
        """An action in [-1, 1] in the robot's units."""
        ...


class GoalPolicy(Policy):
    """Sees at every block of actions, decides the next block or blocks, and carries them out.

    The goal is encoded once an episode, every other picture once when it is seen.

    Args:
        view: of the model.
        goal: a picture of where to go; the observation's camera `GOAL` if not given.
    """

    def __init__(self, view: GoalView, goal: Picture | None = None) -> None:
        self.view, self._shown = view, goal
        self.seen: Float[Tensor, "P D"]
        self.done: Float[Tensor, "Q W"]
        self.goal: Float[Tensor, " G"]
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
        shown = picture_of(observation, GOAL) if self._shown is None else self._shown
        self.encoded += 1
        with torch.inference_mode():
            self.goal = self.view.aim(shown)

    @torch.inference_mode()
    def act(self, observation: Observation) -> Action:
        """The next action ``[A]`` float32, within the bounds."""
        view = self.view
        if self._step % view.every == 0:
            self._look(observation)
            if not len(self._queue):
                begun = time.process_time()
                self._queue = self.decide()
                self.seconds.append(time.process_time() - begun)
            block = self._queue[: view.every].reshape(1, -1)
            self.done = block if not len(self.done) else torch.cat([self.done, block])
        action, self._queue = self._queue[0], self._queue[1:]
        self._step += 1
        told: Action = view.scaled(action).float().cpu().numpy()
        return told

    def notes(self) -> dict[str, Any]:
        """CPU milliseconds of a decision, and pictures that were encoded."""
        if not self.seconds:
            return {}
        mean = 1000 * sum(self.seconds) / len(self.seconds)
        return {"ms_per_plan": mean, "plans": len(self.seconds), "encoded": self.encoded}

    def _look(self, observation: Observation) -> None:
        """Remember what is seen, and the blocks between what is remembered."""
        self.encoded += 1
        now = self.view.see(observation)[None]
        if not len(self.seen):
            self.seen, self.done = now, now.new_zeros(0, self.view.every * self.view.actions)
            return
        self.seen = torch.cat([self.seen, now])[-self.view.history :]
        self.done = self.done[len(self.done) - len(self.seen) + 1 :]

    def _forget(self) -> None:
        self.seen = self.done = self.goal = torch.zeros(0)
        self._queue = torch.zeros(0, self.view.actions)
        self._step = self.encoded = 0
        self.seconds: list[float] = []


class PlanningPolicy(GoalPolicy):
    """Model-predictive control towards a goal's embedding.

    Args:
        view: of the model.
        planner: that imagines with it.
        goal: see `GoalPolicy`.
    """

    def __init__(self, view: GoalView, planner: BlockPlanner, goal: Picture | None = None) -> None:
        super().__init__(view, goal)
        self.planner = planner

    def begin(self, seed: int) -> None:
        """Restart the search's random stream."""
        self.planner.reset(seed)

    def decide(self) -> Float[Tensor, "H A"]:
        """The first blocks of a plan."""
        found = self.planner.plan(self.seen, self.done, self.goal)
        return found[: self.planner.plan_config.carried_out * self.view.every]


def picture_of(observation: Observation, camera: str) -> Picture:
    """What a camera shows.

    Raises:
        ForesightError: there is no such camera.
    """
    images = observation.images
    if camera not in images:
        raise ForesightError(
            f"There is no picture of camera {camera!r} (there is "
            f"{', '.join(map(repr, images)) or 'none'}): a model sees through the camera it "
            f"was trained on, and is shown its goal by one called {GOAL!r} or by a picture."
        )
    return images[camera]


def read_goal(path: str | None) -> Picture | None:
    """The picture of a file, if one is named."""
    if path is None:
        return None
    found: Picture = read_clip(Path(path))[0]
    return found
