"""A feedback law, its file, and the policy that follows it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from foresight.core.errors import ForesightError
from foresight.core.files import read_json, write_json
from foresight.core.observation import Observation
from foresight.core.policy import Action
from foresight.core.spec import Spec
from foresight.experts.expert import Expert
from foresight.experts.feedback.state import StateFeatures

LAWS = Path(__file__).parent / "laws"
CLIP = 5.0
"""Features beyond so many deviations count as so many."""


Layers = Sequence[tuple[np.ndarray, np.ndarray]]
"""Weights ``[I, O]`` and biases ``[O]``, one after the other."""


def respond(layers: Layers, scaled: Float[np.ndarray, "*batch D"]) -> Float[np.ndarray, "*batch A"]:
    """Actions in [-1, 1]: layers with max(·, 0) between them, and tanh at the end."""
    x = scaled
    for number, (weight, bias) in enumerate(layers):
        x = (np.maximum(x, 0) if number else x) @ weight + bias
    return np.tanh(x)


@dataclass(frozen=True)
class FeedbackLaw:
    """A small network of the state: `respond` to ``x̂ = clip((x - mean) / deviation, ±5)``.

    Attributes:
        task: for which it was found.
        mean: of the features, ``[D]``.
        deviation: of the features, ``[D]``.
        layers: weights and biases.
        origin: how it was found: settings, environment steps, return on seeds of its own.
    """

    task: str
    mean: Float[np.ndarray, " D"]
    deviation: Float[np.ndarray, " D"]
    layers: Layers
    origin: dict[str, Any]

    @property
    def repeat(self) -> int:
        """Control steps for which each of its actions is held."""
        return int(self.origin["config"]["repeat"])

    def act(self, features: Float[np.ndarray, "*batch D"]) -> Float[np.ndarray, "*batch A"]:
        """Actions in [-1, 1]."""
        scaled = np.clip((features - self.mean) / self.deviation, -CLIP, CLIP)
        return respond(self.layers, scaled)

    def save(self, path: Path | str) -> None:
        """Write the law as JSON, atomically."""
        layers = [{"weight": w.tolist(), "bias": b.tolist()} for w, b in self.layers]
        scale = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist()}
        write_json(
            Path(path), {"task": self.task, "origin": self.origin, **scale, "layers": layers}
        )

    @classmethod
    def load(cls, path: Path | str) -> FeedbackLaw:
        """Read a law.

        Raises:
            ForesightError: the file is missing, damaged, or its shapes do not fit each other.
        """
        raw = read_json(Path(path))
        try:
            mean, deviation = (np.asarray(raw[name], float) for name in ("mean", "deviation"))
            layers = [
                (np.asarray(layer["weight"], float), np.asarray(layer["bias"], float))
                for layer in raw["layers"]
            ]
            law = cls(str(raw["task"]), mean, deviation, layers, dict(raw["origin"]))
            widths = [len(mean), *(len(bias) for _, bias in layers)]
            shapes = [weight.shape for weight, _ in layers]
            fits = (
                law.repeat > 0
                and shapes == list(itertools.pairwise(widths))
                and deviation.shape == mean.shape
            )
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits or not layers:
            raise ForesightError(f"{path} holds no feedback law: make it again, or reinstall.")
        return law


def known_laws() -> tuple[str, ...]:
    """Tasks for which a law is in the package."""
    return tuple(sorted(path.stem for path in LAWS.glob("*.json")))


def load_law(task: str) -> FeedbackLaw:
    """The law of a task.

    Raises:
        ForesightError: nobody has found one.
    """
    if task not in known_laws():
        raise ForesightError(
            f"No feedback law is known for {task}: use oracle, or one of the tasks "
            f"{', '.join(known_laws())}."
        )
    return FeedbackLaw.load(LAWS / f"{task}.json")


class FeedbackExpert(Expert):
    """Follows a law; reads the true state, as often as when the law was found.

    Args:
        task: the law's.
        spec: of the robot.
    """

    def __init__(self, task: str, spec: Spec) -> None:
        super().__init__(spec)
        self.law = load_law(task)
        self._features: StateFeatures | None = None
        self._hold, self._asked = 1, 0
        self._held = np.zeros(0, np.float32)

    def reset(self, observation: Observation, seed: int) -> None:
        """Read the joints of the model."""
        self._features = StateFeatures(self.physics.model.ptr)
        self._hold = max(1, self.law.repeat // self.repeat)
        self._asked = 0

    def act(self, observation: Observation) -> Action:
        """Control values, float32 ``[A]``."""
        if self._features is None:
            self.reset(observation, 0)
        assert self._features is not None
        self._asked += 1
        if (self._asked - 1) % self._hold:
            return self._held.copy()
        action = self.law.act(self._features(self.physics.get_state()))
        low, high = self.spec.low, self.spec.high
        self._held = (low + 0.5 * (action + 1) * (high - low)).astype(np.float32)
        return self._held.copy()
