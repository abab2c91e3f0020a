"""A linear feedback law, its file, and the behaviour that follows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from foresight.envs.dm_env import DMControlEnv
from foresight.envs.feedback.state import StateFeatures
from foresight.errors import ForesightError
from foresight.files import read_json, write_json

LAWS = Path(__file__).parent / "laws"
CLIP = 5.0
"""Features beyond so many deviations count as so many."""


@dataclass(frozen=True)
class FeedbackLaw:
    """``a = clip(x̂ K + b, -1, 1)`` with ``x̂ = clip((x - mean) / deviation, ±5)``.

    Attributes:
        task: for which it was found.
        mean: of the features, ``[D]``.
        deviation: of the features, ``[D]``.
        gain: K, ``[D, A]``.
        bias: b, ``[A]``.
        origin: how it was found: settings, environment steps, return on seeds of its own.
    """

    task: str
    mean: Float[np.ndarray, "D"]
    deviation: Float[np.ndarray, "D"]
    gain: Float[np.ndarray, "D A"]
    bias: Float[np.ndarray, "A"]
    origin: dict[str, Any]

    def act(self, features: Float[np.ndarray, "*batch D"]) -> Float[np.ndarray, "*batch A"]:
        """Actions in [-1, 1]."""
        scaled = np.clip((features - self.mean) / self.deviation, -CLIP, CLIP)
        return np.clip(scaled @ self.gain + self.bias, -1, 1)

    def save(self, path: Path | str) -> None:
        """Write the law as JSON, atomically."""
        lists = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }
        write_json(Path(path), lists)

    @classmethod
    def load(cls, path: Path | str) -> FeedbackLaw:
        """Read a law.

        Raises:
            ForesightError: the file is missing, damaged, or its shapes do not fit each other.
        """
        raw = read_json(Path(path))
        try:
            arrays = {k: np.asarray(raw[k], float) for k in ("mean", "deviation", "gain", "bias")}
            law = cls(task=str(raw["task"]), origin=dict(raw["origin"]), **arrays)
            fits = law.gain.shape == (len(law.mean), len(law.bias))
            fits = fits and law.deviation.shape == law.mean.shape
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
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


class FeedbackExpert:
    """Follows a law; reads the true state.

    Args:
        task: the law's.
    """

    name = "expert"

    def __init__(self, task: str) -> None:
        self.law = load_law(task)
        self._features: StateFeatures | None = None

    def reset(self, env: DMControlEnv, seed: int) -> None:
        """Read the joints of the model."""
        self._features = StateFeatures(env.physics.model.ptr)

    def act(self, env: DMControlEnv, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Control values, float32 ``[A]``."""
        if self._features is None:
            self.reset(env, 0)
        assert self._features is not None
        action = self.law.act(self._features(env.physics.get_state()))
        low, high = env.action_space.low, env.action_space.high
        return (low + 0.5 * (action + 1) * (high - low)).astype(np.float32)
