"""Finding a feedback law by reinforcement learning on the simulator's state.

Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905) of the library stable-baselines3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from jaxtyping import Float
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from foresight.core.errors import ForesightError
from foresight.core.machine import torch_threads
from foresight.core.progress import track
from foresight.envs.dmc.tasks import canonical
from foresight.experts.feedback.law import CLIP, FeedbackLaw, Layers
from studies.feedback.field import Field, Scenes

Array = np.ndarray
FIRST_SEED = 40_000
"""Starts for learning; those of the measurement follow. Both are apart from all other seeds."""
DIGITS = 5
"""Decimals that are kept of a law's weights."""


@dataclass(frozen=True)
class ReinforceConfig:
    """How a law is learned. Steps are control steps of the simulator."""

    task: str = "walker-walk"
    """Task id."""
    protocol: str = "seed200"
    """Length of episodes."""
    repeat: int = 2
    """Control steps for which an action is held."""
    steps: int = 160_000
    """Steps in all."""
    random: int = 8_000
    """The first of them, with random actions."""
    shaped: float = 0.0
    """Weight of the oracle's shaping in what is learned; measurements are without it."""
    hidden: int = 64
    """Width of the law's two hidden layers."""
    critic: int = 256
    """Width of the critics'."""
    parallel: int = 8
    """Episodes side by side."""
    batch: int = 256
    """Transitions of an update; there is one update for each decision."""
    lr: float = 5e-4
    """Adam's learning rate."""
    discount: float = 0.98
    """γ of one decision."""
    slow: float = 0.01
    """Share by which the target critics move in every update."""
    starts: int = 256
    """Different starts of episodes."""
    measured: int = 16
    """Starts on which the best law is chosen."""
    every: int = 16_000
    """Steps between two measurements."""
    seed: int = 0
    """Of weights and actions."""


def reinforce(config: ReinforceConfig) -> FeedbackLaw:
    """The best law found.

    Raises:
        ForesightError: unknown task, one without a batched reward, or settings without sense.
    """
    sizes = (config.steps, config.parallel, config.repeat, config.starts, config.measured)
    if min(*sizes, config.every, config.batch) < 1:
        raise ForesightError(
            f"Learning a law for {config.steps} steps, {config.parallel} episodes side by side "
            f"from {config.starts} starts, is refused: give positive numbers."
        )
    field = Field(config.task, config.protocol, config.repeat)
    first, last = FIRST_SEED + config.starts, FIRST_SEED + config.starts + config.measured
    starts = field.starts(range(FIRST_SEED, first))
    scale = _spread(field, starts, np.random.default_rng(config.seed))
    copies = _Copies(config, field, starts, scale)
    with torch_threads(1):  # networks this small are slower on more
        actor = SAC(
            "MlpPolicy",
            copies,
            learning_rate=config.lr,
            buffer_size=config.steps,
            learning_starts=config.random // config.repeat,
            batch_size=config.batch,
            tau=config.slow,
            gamma=config.discount,
            train_freq=1,
            gradient_steps=config.parallel,
            policy_kwargs={"net_arch": {"pi": [config.hidden] * 2, "qf": [config.critic] * 2}},
            seed=config.seed,
            device="cpu",
        )
        keeper = _Keeper(config, field, field.starts(range(first, last)), scale)
        actor.learn(config.steps // config.repeat, callback=keeper)
    assert keeper.best is not None  # measured at the last step, if not before
    return keeper.best


def _spread(field: Field, starts: Scenes, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mean and deviation of features under actions at the bounds, drawn anew every decision."""
    scenes, seen = starts[np.arange(min(32, len(starts)))], []
    for _ in range(field.decisions):
        seen.append(field.see(scenes))
        action = np.sign(rng.standard_normal((len(scenes), len(field.low))))
        scenes = field.step(scenes, action)[0]
    met = np.concatenate(seen)
    return met.mean(0), np.maximum(met.std(0), 1e-2)


def play(field: Field, law: FeedbackLaw, scenes: Scenes) -> Float[Array, " N"]:
    """Returns of whole episodes under a law."""
    returns = np.zeros(len(scenes))
    for _ in range(field.decisions):
        scenes, earned, _ = field.step(scenes, law.act(field.see(scenes)))
        returns += earned
    return returns


class _Copies(VecEnv):
    """The field as the library wants it; all episodes begin and end together."""

    def __init__(
        self, config: ReinforceConfig, field: Field, starts: Scenes, scale: tuple[Array, Array]
    ) -> None:
        self.field, self.starts, self.scale = field, starts, scale
        self.shaped = config.shaped
        self.rng = np.random.default_rng(config.seed)
        see = gymnasium.spaces.Box(-CLIP, CLIP, (field.features.size,), np.float32)
        act = gymnasium.spaces.Box(-1.0, 1.0, (len(field.low),), np.float32)
        super().__init__(config.parallel, see, act)

    def reset(self) -> Array:
        """New starts."""
        self.scenes = self.starts[self.rng.integers(0, len(self.starts), self.num_envs)]
        self.decision = 0
        return self._see()

    def _see(self) -> Array:
        mean, deviation = self.scale
        scaled = (self.field.see(self.scenes) - mean) / deviation
        return np.clip(scaled, -CLIP, CLIP).astype(np.float32)

    def step_async(self, actions: Array) -> None:
        """Keep what is to be done."""
        self.actions = actions.astype(float)

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        """Do it. The end of an episode is a limit of time, not of what can be earned."""
        self.scenes, earned, shaped = self.field.step(self.scenes, self.actions)
        self.decision += 1
        seen, over = self._see(), self.decision == self.field.decisions
        notes: list[dict[str, Any]] = [{} for _ in seen]
        if over:
            notes = [{"TimeLimit.truncated": True, "terminal_observation": one} for one in seen]
            seen = self.reset()
        reward = (earned + self.shaped * shaped).astype(np.float32)
        return seen, reward, np.full(len(seen), over), notes

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The library asks for a render mode: there is none."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Copies have nothing of their own."""

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **more: Any) -> Any:
        """Copies have no methods of their own."""
        raise NotImplementedError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No copy is."""
        return [False] * self.num_envs


class _Keeper(BaseCallback):
    """Measures the law now and then, and keeps the best."""

    def __init__(
        self, config: ReinforceConfig, field: Field, tests: Scenes, scale: tuple[Array, Array]
    ) -> None:
        super().__init__()
        self.config, self.field, self.tests, self.scale = config, field, tests, scale
        self.best: FeedbackLaw | None = None

    def _on_training_start(self) -> None:
        count = -(-self.config.steps // (self.config.repeat * self.config.parallel))
        self.bar = iter(track(range(count), f"{canonical(self.config.task)}: reinforce"))

    def _on_step(self) -> bool:
        config, steps = self.config, self.num_timesteps * self.config.repeat
        next(self.bar, None)
        before = steps - config.parallel * config.repeat
        if steps // config.every > before // config.every or steps >= config.steps:
            self.measure()
        return True

    def measure(self) -> None:
        """Keep the present law if it earns more than all before."""
        layers = _layers(self.model.policy.actor)  # type: ignore[union-attr]
        origin = {
            "config": asdict(self.config),
            "environment_steps": self.num_timesteps * self.config.repeat,
        }
        law = FeedbackLaw(canonical(self.config.task), *self.scale, layers, origin)
        origin["return"] = float(play(self.field, law, self.tests).mean())
        if self.best is None or origin["return"] > self.best.origin["return"]:
            self.best = law


def _layers(actor: Any) -> Layers:
    """Weights and biases of the actor's mean."""
    linear: Sequence[Any] = [m for m in actor.latent_pi if isinstance(m, torch.nn.Linear)]
    return [
        tuple(np.round(part.detach().double().numpy(), DIGITS) for part in (one.weight.T, one.bias))
        for one in (*linear, actor.mu)
    ]
