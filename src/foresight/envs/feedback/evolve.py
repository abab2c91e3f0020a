"""Finding a feedback law by evolution in the true simulator.

Evolution strategy with antithetic samples, rank shaping and Adam (Salimans et al. 2017,
arXiv 1703.03864) on a linear law of running-normalised features (Mania et al. 2018,
arXiv 1803.07055). A generation is simulated as one batch.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float
from mujoco import rollout

from foresight.envs.dm_env import DMControlEnv
from foresight.envs.feedback.law import CLIP, FeedbackLaw, Layers, respond
from foresight.envs.feedback.state import StateFeatures
from foresight.envs.oracle_settings import oracle_settings
from foresight.envs.protocol import Protocol, get_protocol
from foresight.envs.rewards import batched_reward
from foresight.envs.tasks import canonical
from foresight.errors import ForesightError
from foresight.progress import track

Array = np.ndarray
FIRST_SEED = 40_000
"""Starts for the search; those of the measurement follow. Both are apart from all other seeds."""


@dataclass(frozen=True)
class EvolveConfig:
    """How a law is searched."""

    task: str = "cheetah-run"
    """Task id."""
    protocol: str = "seed200"
    """Length of episodes."""
    repeat: int = 2
    """Control steps for which an action is held."""
    generations: int = 600
    """Steps of the search."""
    hidden: int = 0
    """Width of a hidden layer; 0 for a linear law."""
    shaped: float = 0.0
    """Weight of the oracle's shaping in what the search climbs; measurements are without it."""
    pairs: int = 32
    """Antithetic pairs in a generation."""
    noise: float = 0.05
    """Deviation of the samples."""
    lr: float = 0.02
    """Adam's learning rate."""
    starts: int = 200
    """Different starts of episodes."""
    measured: int = 16
    """Starts on which the best law is chosen."""
    every: int = 20
    """Generations between two measurements."""
    seed: int = 0
    """Of the search."""


class _Field:
    """Many copies of a task, each under a law of its own."""

    def __init__(self, config: EvolveConfig) -> None:
        base = get_protocol(config.protocol)
        self.protocol = Protocol(base.name, base.steps, config.repeat)
        self.env = DMControlEnv(config.task, self.protocol, None)
        self.env.reset(seed=FIRST_SEED)
        self.model = self.env.physics.model.ptr
        step = 1.0 / (self.env.frames_per_second * config.repeat)
        self.substeps = round(step / self.model.opt.timestep)
        self.features = StateFeatures(self.model)
        self.reward = batched_reward(config.task, self.model)
        shaping = oracle_settings(config.task).shaping if config.shaped else None
        self.shaping = None if shaping is None else shaping(self.model)
        self.low = self.env.action_space.low.astype(float)
        self.high = self.env.action_space.high.astype(float)
        hidden = (config.hidden,) if config.hidden else ()
        self.widths = (self.features.size, *hidden, len(self.low))
        self._data = mujoco.MjData(self.model)
        self._pool = rollout.Rollout(nthread=0)

    def starts(self, seeds: range) -> tuple[Array, Array]:
        """Full states and solver warm starts of resets."""
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        states, warm = [], []
        for seed in seeds:
            self.env.reset(seed=seed)
            state = np.empty(mujoco.mj_stateSize(self.model, full))
            mujoco.mj_getState(self.model, self.env.physics.data.ptr, state, full)
            states.append(state)
            warm.append(np.array(self.env.physics.data.qacc_warmstart))
        return np.stack(states), np.stack(warm)

    def layers(self, laws: Float[Array, "N P"]) -> Layers:
        """Weights and biases of N laws written one after the other."""
        found, first = [], 0
        for inputs, outputs in itertools.pairwise(self.widths):
            middle, last = first + inputs * outputs, first + (inputs + 1) * outputs
            weight = laws[:, first:middle].reshape(-1, inputs, outputs)
            found.append((weight, laws[:, middle:last]))
            first = last
        return found

    def run(
        self,
        laws: Float[Array, "N P"],
        scale: tuple[Array, Array],
        starts: tuple[Array, Array],
    ) -> tuple[Array, Array, Array]:
        """Returns and shaping ``[N]`` of N laws, and the features that they met."""
        states, warm = starts[0].copy(), starts[1]
        layers = self.layers(laws)
        returns, extra, seen = np.zeros(len(states)), np.zeros(len(states)), []
        hold = self.protocol.repeat * self.substeps
        ends = np.arange(self.substeps - 1, hold, self.substeps)
        width = 1 + self.model.nq + self.model.nv + self.model.na
        for _ in range(self.protocol.decisions):
            features = self.features(states[:, 1:])
            seen.append(features)
            scaled = np.clip((features - scale[0]) / scale[1], -CLIP, CLIP)
            action = respond(layers, scaled)
            control = self.low + 0.5 * (action + 1) * (self.high - self.low)
            # One physics step more: sensors stand for the state a step started from.
            path, sensors = self._pool.rollout(
                self.model,
                [self._data],
                states,
                np.repeat(control[:, None], hold + 1, axis=1),
                initial_warmstart=warm,
            )
            held = np.repeat(control[:, None], self.protocol.repeat, axis=1)
            reached = path[:, ends, 1:width], sensors[:, ends + 1]
            returns += np.nan_to_num(self.reward(*reached, held)).sum(1)
            if self.shaping is not None:
                extra += np.nan_to_num(self.shaping(*reached)).sum(1)
            after = path[:, hold - 1]
            states = np.where(np.isfinite(after).all(1)[:, None], after, starts[0])
        return returns, extra, np.concatenate(seen)


class _Scale:
    """Running mean and deviation of features."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.variance = 1e-2, np.zeros(size), np.ones(size)

    def see(self, features: Array) -> None:
        """Take in a batch (Chan et al. 1979)."""
        count, total = len(features), self.count + len(features)
        gap = features.mean(0) - self.mean
        spread = features.var(0) * count + gap**2 * self.count * count / total
        self.variance = (self.variance * self.count + spread) / total
        self.mean = self.mean + gap * count / total
        self.count = min(total, 2e6)

    @property
    def now(self) -> tuple[Array, Array]:
        """Mean and deviation."""
        return self.mean, np.sqrt(self.variance + 1e-6)


def evolve(config: EvolveConfig) -> FeedbackLaw:
    """The best law found.

    Raises:
        ForesightError: unknown task, one without a batched reward, or settings without sense.
    """
    if min(config.generations, config.pairs, config.starts, config.measured, config.every) < 1:
        raise ForesightError(
            f"A search over {config.generations} generations of {config.pairs} pairs is refused: "
            "give positive numbers."
        )
    field = _Field(config)
    rng = np.random.default_rng(config.seed)
    law = _first_law(field, rng)
    size = len(law)
    first, second = np.zeros(size), np.zeros(size)
    scale = _Scale(field.features.size)
    starts = field.starts(range(FIRST_SEED, FIRST_SEED + config.starts))
    tests = field.starts(range(FIRST_SEED + config.starts, FIRST_SEED + _starts(config)))
    best, found = -np.inf, (law, scale.now)
    for number in track(range(1, config.generations + 1), f"{canonical(config.task)}: evolve"):
        noise = rng.standard_normal((config.pairs, size))
        chosen = np.tile(rng.integers(0, config.starts, config.pairs), 2)
        laws = law + config.noise * np.concatenate([noise, -noise])
        returns, extra, seen = field.run(laws, scale.now, (starts[0][chosen], starts[1][chosen]))
        scale.see(seen[np.isfinite(seen).all(1)])
        slope = _slope(returns + config.shaped * extra, noise)
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        bent = first / (1 - 0.9**number), second / (1 - 0.99**number)
        law = law + config.lr * bent[0] / (np.sqrt(bent[1]) + 1e-8)
        if number % config.every == 0 or number == config.generations:
            laws = np.repeat(law[None], config.measured, axis=0)
            worth = float(field.run(laws, scale.now, tests)[0].mean())
            if worth > best:
                best, found = worth, (law, scale.now)
    return _as_law(config, field, found, best)


def _first_law(field: _Field, rng: np.random.Generator) -> Float[Array, "P"]:
    """Zeros for a linear law; with a hidden layer weights that keep its inputs' size, then less."""
    if len(field.widths) == 2:
        return np.zeros((field.widths[0] + 1) * field.widths[1])
    parts = []
    for inputs, outputs in itertools.pairwise(field.widths):
        size = 0.1 if outputs == field.widths[-1] else 1.0
        parts += [size * inputs**-0.5 * rng.standard_normal(inputs * outputs), np.zeros(outputs)]
    return np.concatenate(parts)


def _starts(config: EvolveConfig) -> int:
    return config.starts + config.measured


def _slope(returns: Float[Array, "2p"], noise: Float[Array, "p *shape"]) -> Float[Array, "*shape"]:
    """Direction of higher ranks: ranks keep one lucky episode from deciding."""
    ranks = np.argsort(np.argsort(returns)) / (len(returns) - 1) - 0.5
    plus, minus = np.split(ranks, 2)
    return np.tensordot(plus - minus, noise, axes=1) / len(noise)


def _as_law(
    config: EvolveConfig, field: _Field, found: tuple[Array, Any], best: float
) -> FeedbackLaw:
    law, (mean, deviation) = found
    layers = [(weight[0], bias[0]) for weight, bias in field.layers(law[None])]
    length = get_protocol(config.protocol).steps
    steps = 2 * config.pairs * config.generations * length
    origin = {"config": asdict(config), "environment_steps": steps, "return": best}
    return FeedbackLaw(canonical(config.task), mean, deviation, layers, origin)
