"""Open-loop replay of a demonstration: what can be had without looking, a row beside policies."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, pictures_of
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.policies.registry import register_policy

LOOK = 16
"""Side of the small pictures by which beginnings are compared."""


class Given(Policy):
    """Executes a list of actions, whatever happens; the last one is held.

    Args:
        actions: float32 ``[T, A]``, in the robot's units.
    """

    def __init__(self, actions: Float32[np.ndarray, "T A"]) -> None:
        self.actions, self.step = actions, 0

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin with the first action."""
        self.step = 0

    def act(self, observation: Observation) -> Action:
        """The action of this step."""
        action: Action = self.actions[min(self.step, len(self.actions) - 1)]
        self.step += 1
        return action


class Replay(Policy):
    """Plays the actions of one demonstration, whatever happens; its last action is held.

    Args:
        dataset: the demonstrations.
        spec: of the robot that is to act.
        which: number of an episode, always the same; ``nearest``: the one, of the same task where
            the texts are known, whose first pictures and state differ least from the present ones;
            ``random``: one of the same task, drawn by the seed.
        name: for the sentence of an error.
        among: the episodes that ``nearest`` and ``random`` choose from; all if not given.

    Raises:
        ForesightError: another robot or rate, no such episode, or an empty dataset.
    """

    def __init__(
        self,
        dataset: Dataset,
        spec: Spec,
        which: str,
        name: str = "replay",
        among: Sequence[int] | None = None,
    ) -> None:
        if not len(dataset):
            raise ForesightError(f"{dataset.path} has no episode to replay: record one.")
        dataset.spec.expect(spec, f"The dataset {dataset.path}", "the environment", ("fps",))
        if len(dataset.spec.action) != len(spec.action):
            raise ForesightError(
                f"{dataset.path} has {len(dataset.spec.action)} numbers of action and the robot "
                f"{len(spec.action)}: replay demonstrations of this robot."
            )
        known = which in ("nearest", "random") or (which.isdigit() and int(which) < len(dataset))
        if not known:
            raise ForesightError(
                f"Policy {name!r}: {which!r} is no episode of {dataset.path}; write nearest, "
                f"random or a number from 0 to {len(dataset) - 1} behind a second colon."
            )
        self.dataset, self.spec, self.which = dataset, spec, which
        self.among = tuple(range(len(dataset)) if among is None else among)
        self.actions = dataset.column("action").reshape(-1, len(spec.action)).astype(np.float32)
        self._looks: dict[int, Float32[np.ndarray, " k"]] = {}
        self._states: np.ndarray | None = None
        self.episode, self.step = 0, 0

    def reset(self, observation: Observation, seed: int) -> None:
        """Choose a demonstration."""
        self.step = 0
        shown = self.among
        same = [i for i in shown if self.dataset.task(i) == observation.task] or list(shown)
        if self.which == "random":
            draw = np.random.default_rng([seed, zlib.crc32(b"replay")])
            self.episode = int(draw.choice(same))
        elif self.which == "nearest":
            now = self._look(observation)
            self.episode = min(same, key=lambda i: float(np.square(self._first(i) - now).sum()))
        else:
            self.episode = int(self.which)

    def act(self, observation: Observation) -> Action:
        """The action that was shown at this time."""
        first, end = self.dataset.offsets[self.episode : self.episode + 2]
        action: Action = self.actions[min(first + self.step, end - 1)]
        self.step += 1
        return action.clip(self.spec.low, self.spec.high)

    def notes(self) -> dict[str, int]:
        """Which demonstration was replayed."""
        return {"replayed": self.episode}

    def _first(self, episode: int) -> Float32[np.ndarray, " k"]:
        """What the beginning of a demonstration looked like; read once."""
        if episode not in self._looks:
            data = self.dataset
            images = {name: data.frames(episode, name, 0, 1)[0] for name in data.spec.cameras}
            state = np.zeros(0, np.float32)
            if data.has("observation.state"):
                state = self._told()[int(data.offsets[episode])]
            self._looks[episode] = self._look(Observation(images, state))
        return self._looks[episode]

    def _told(self) -> Float32[np.ndarray, "N P"]:
        if self._states is None:
            steps = int(self.dataset.offsets[-1])
            column = self.dataset.column("observation.state").reshape(steps, -1)
            self._states = column.astype(np.float32)
        return self._states

    def _look(self, observation: Observation) -> Float32[np.ndarray, " k"]:
        """Small pictures and the state in deviations, each camera and the state of equal weight."""
        parts = []
        for picture in pictures_of([observation], tuple(self.dataset.spec.cameras)).values():
            small = Image.fromarray(picture[0]).resize((LOOK, LOOK), Image.Resampling.BOX)
            flat = np.asarray(small, np.float32).ravel() / 255
            parts.append(flat / np.sqrt(len(flat)))
        if self.dataset.has("observation.state") and len(observation.state):
            told = self._told()
            if len(observation.state) == told.shape[1]:
                deviation = told.std(0)
                moving = deviation > 1e-6
                state = observation.state[moving] / deviation[moving]
                parts.append(state / np.sqrt(max(1, len(state))))
        return np.concatenate(parts).astype(np.float32)


def _replay(name: str, spec: Spec, env_id: str | None) -> Policy:
    path, _, which = name.partition(":")[2].partition(":")
    if not path:
        raise ForesightError(
            f"Policy {name!r} names no dataset: write replay:FOLDER, or replay:FOLDER:3 for one "
            "of its episodes."
        )
    return Replay(Dataset.open(Path(path)), spec, which or "nearest", name)


register_policy("replay", _replay, "replay:DATASET")
