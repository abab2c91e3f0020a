"""What one robot lives through, written down until its episode is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foresight.core.episode import Episode
from foresight.core.observation import Observation
from foresight.core.policy import Action

TRUE_STATE, ADVICE, ISSUED = "sim.state", "action.expert", "action.issued"
"""Optional columns of an episode."""


@dataclass
class Recorder:
    """Collects the steps of one episode.

    Attributes:
        task: text or id.
        fps: decisions for each second.
        info: what is known of the episode from the start.
        keep_images: whether its pictures are wanted.
        delayed: whether what is executed may differ from what was asked for.
    """

    task: str
    fps: float
    info: dict[str, Any]
    keep_images: bool = True
    delayed: bool = False
    images: dict[str, list[np.ndarray]] = field(default_factory=dict)
    states: list[np.ndarray] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    issued: list[Action] = field(default_factory=list)
    advice: list[Action] = field(default_factory=list)
    truths: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    film: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0
    """What deciding took."""
    success: bool | None = None
    terminated: bool = False

    def saw(self, observation: Observation, info: Mapping[str, Any]) -> None:
        """A moment at which an action will be taken; ``info`` came with it."""
        if self.keep_images:
            for name, picture in observation.images.items():
                self.images.setdefault(name, []).append(np.array(picture))
        self.states.append(np.array(observation.state, np.float32))
        if "state" in info:
            self.truths.append(np.array(info["state"], np.float64))

    def did(
        self,
        action: Action,
        reward: float,
        terminated: bool,
        info: Mapping[str, Any],
        advice: Action | None,
    ) -> None:
        """An action and what came of it; ``info`` came with the next moment."""
        executed = np.asarray(info.get("executed_action", action), np.float32)
        self.actions.append(executed)
        self.issued.append(action)
        if advice is not None:
            self.advice.append(advice)
        self.rewards.append(reward)
        self.terminated = terminated
        if "success" in info:
            self.success = bool(info["success"]) or bool(self.success)

    @property
    def total(self) -> float:
        """The return, added up in double precision."""
        return float(sum(self.rewards))

    def episode(self, notes: Mapping[str, Any]) -> Episode:
        """All of it; ``notes`` are the policy's."""
        actions, issued = np.stack(self.actions), np.stack(self.issued)
        columns: dict[str, np.ndarray] = {}
        if len(self.truths) == len(actions):
            columns[TRUE_STATE] = np.stack(self.truths)
        if len(self.advice) == len(actions):
            columns[ADVICE] = np.stack(self.advice)
        if self.delayed or not np.array_equal(actions, issued):
            columns[ISSUED] = issued
        measured = {"return": self.total, "decision_ms": 1000 * self.seconds / len(actions)}
        return Episode(
            images={name: np.stack(pictures) for name, pictures in self.images.items()},
            state=np.stack(self.states),
            action=actions,
            reward=np.array(self.rewards, np.float32),
            terminated=self.terminated,
            task=self.task,
            fps=self.fps,
            success=self.success,
            columns=columns,
            info={**self.info, **measured, "notes": dict(notes)}
            | ({"film": np.stack(self.film)} if self.film else {}),
        )
