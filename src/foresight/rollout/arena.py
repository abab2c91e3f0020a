"""Several episodes side by side in one process, seen and planned for as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.observation import Observation
from foresight.core.simulator import Privileged
from foresight.core.stopwatch import Stopwatch
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.protocol import Protocol, get_protocol
from foresight.envs.render import RenderSettings
from foresight.policies.registry import make_policy
from foresight.worldmodel.observation import ObservationEncoder

Decide = Callable[[Tensor], Tensor]
"""Features of B scenes to their decisions in [-1, 1], ``[B, F] -> [B, A]``."""


LAPSE = 40
"""Longest lapse of a teacher that leads, in decisions."""


@dataclass(frozen=True)
class Rolled:
    """Whole episodes of one length."""

    features: Float[Tensor, "n T+1 *F"]
    actions: Float[Tensor, "n T A"]
    rewards: Float[Tensor, "n T"]
    senses: Float[Tensor, "n T+1 S"]
    """Proprioception."""
    taught: Float[Tensor, "n T A"]
    """What the teacher would have done; NaN where nobody asked."""


@dataclass(frozen=True)
class Recorded:
    """Whole episodes that nobody has looked at."""

    frames: UInt8[np.ndarray, "T+1 n H W 3"]
    played: dict[str, Tensor]
    """What `Rolled` holds but the features."""

    def seen(self, gaze: ObservationEncoder) -> Rolled:
        """The same as if they had been rolled with this gaze."""
        gaze.reset()
        features = [gaze.see(shown) for shown in self.frames]
        return Rolled(torch.stack(features, 1).cpu(), **self.played)


class Arena:
    """Environments of one task that step together.

    Args:
        task: for example ``reacher-easy``.
        protocol: its length; decisions are held for ``repeat`` of its steps.
        repeat: control steps of a decision.
        count: environments.
        length: control steps of an episode, the protocol's if not given.
        size: of frames in pixels.
        watch: times ``simulate`` (with rendering), ``encode``, ``teacher`` and ``act``.

    Raises:
        ForesightError: unknown task or protocol, or no renderer.
    """

    def __init__(
        self,
        task: str,
        protocol: str,
        repeat: int,
        count: int,
        length: int | None = None,
        size: int = 64,
        watch: Stopwatch | None = None,
    ) -> None:
        base = get_protocol(protocol)
        held = Protocol(base.name, length or base.steps, repeat)
        look = RenderSettings(size=size, quality="smooth")
        self.envs = [DMControlEnv(task, held, look) for _ in range(count)]
        self.watch = watch or Stopwatch()
        self.decisions = held.decisions
        self.low = self.envs[0].action_space.low
        self.high = self.envs[0].action_space.high

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        for env in self.envs:
            env.close()

    def roll(
        self,
        seeds: Sequence[int],
        gaze: ObservationEncoder,
        decide: Decide,
        teacher: Teacher | None = None,
    ) -> Rolled:
        """One episode of every environment (or of as many as there are seeds).

        Args:
            seeds: of the episodes.
            gaze: what is seen of a frame.
            decide: who acts.
            teacher: asked in every state, before anyone acts.
        """
        gaze.reset()
        seen: list[Tensor] = []

        def see(frames: np.ndarray) -> Tensor:
            with self.watch.stage("encode"):
                seen.append(gaze.see(frames))
            return seen[-1]

        played = self._play(seeds, see, decide, teacher)
        return Rolled(torch.stack(seen, 1).cpu(), **played)

    def record(
        self, seeds: Sequence[int], decide: Decide, teacher: Teacher | None = None
    ) -> Recorded:
        """As `roll` with one who acts without looking: what is seen can wait.

        Args:
            seeds: of the episodes.
            decide: who acts; given no features, ``[B, 0]``.
            teacher: as in `roll`.
        """
        frames: list[np.ndarray] = []

        def keep(shown: np.ndarray) -> Tensor:
            frames.append(shown)
            return torch.empty(len(shown), 0)

        played = self._play(seeds, keep, decide, teacher)
        return Recorded(np.stack(frames), played)

    def _play(
        self,
        seeds: Sequence[int],
        see: Callable[[np.ndarray], Tensor],
        decide: Decide,
        teacher: Teacher | None,
    ) -> dict[str, Tensor]:
        """What `Rolled` holds but the features; ``see`` is shown all frames in their order."""
        envs, stage = self.envs[: len(seeds)], self.watch.stage
        with stage("simulate"):
            views = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
        if teacher is not None:
            with stage("teacher"):
                teacher.reset(envs, seeds)
        features = see(_pixels(views))
        taken, earned, felt, taught = [], [], [_felt(views)], []
        for _ in range(self.decisions):
            answer = torch.full((len(envs), len(self.low)), torch.nan)
            if teacher is not None:
                with stage("teacher"):
                    answer = teacher.act(envs, views)
            taught.append(answer)
            with stage("act"):
                action = decide(features).cpu()
            control = self.low + (action.numpy() + 1) / 2 * (self.high - self.low)
            with stage("simulate"):
                results = [env.step(one) for env, one in zip(envs, control, strict=True)]
            views = [result[0] for result in results]
            features = see(_pixels(views))
            felt.append(_felt(views))
            taken.append(action)
            earned.append([result[1] for result in results])
        return {
            "actions": torch.stack(taken, 1),
            "rewards": torch.tensor(earned, dtype=torch.float32).T,
            "senses": torch.stack(felt, 1),
            "taught": torch.stack(taught, 1),
        }


def _pixels(views: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    return np.stack([view["images"]["camera"] for view in views])


def _felt(views: Sequence[dict[str, np.ndarray]]) -> Tensor:
    return torch.from_numpy(np.stack([view["state"] for view in views]))


class Teacher:
    """A behaviour that knows the simulator, one copy for each environment.

    Args:
        spec: ``expert`` or ``oracle``; see `make_policy`.
        task: what it teaches.
        count: environments.
    """

    def __init__(self, spec: str, task: str, count: int) -> None:
        self.name, self.task, self.count = spec, task, count
        self.behaviours: list = []
        self.latest = torch.zeros(0)

    def reset(self, envs: Sequence[DMControlEnv], seeds: Sequence[int]) -> None:
        """Begin an episode in every environment."""
        if not self.behaviours:
            known = envs[0].interface
            self.behaviours = [make_policy(self.name, known, self.task) for _ in range(self.count)]
        for behaviour, env, seed in zip(self.behaviours, envs, seeds, strict=False):
            if isinstance(behaviour, Privileged):
                behaviour.attach(env)
            behaviour.reset(Observation(), seed)

    def act(
        self, envs: Sequence[DMControlEnv], views: Sequence[dict[str, np.ndarray]]
    ) -> Float[Tensor, "B A"]:
        """Its decisions, in [-1, 1]."""
        low, high = envs[0].action_space.low, envs[0].action_space.high
        each = [b.act(Observation.of(v)) for b, v in zip(self.behaviours, views, strict=False)]
        self.latest = torch.from_numpy((np.stack(each) - low) / (high - low) * 2 - 1).float()
        return self.latest


class Led:
    """Does what the teacher says, disturbed: so it is seen how to recover, too.

    A third of the episodes is undisturbed; in the others the decisions carry a lasting noise, each
    with its own strength. With lapses the noise alone decides now and then, for up to `LAPSE`
    decisions: what was achieved is lost, and the teacher shows again how to get there.

    Args:
        teacher: asked before every decision by the arena.
        wander: the noise.
        seed: of the strengths.
        most: largest strength.
        lapse: mean decisions between two lapses; 0 for none.
    """

    def __init__(
        self, teacher: Teacher, wander: Wander, seed: int = 0, most: float = 0.6, lapse: int = 0
    ) -> None:
        self.teacher, self.wander, self.lapse = teacher, wander, lapse
        count = teacher.count
        self.generator = torch.Generator().manual_seed(seed)
        strength = torch.rand(count, 1, generator=self.generator)
        self.strength = (1.5 * strength - 0.5).clamp(min=0) * most
        self.lapsing = torch.zeros(count, 1, dtype=torch.long)

    def __call__(self, features: Tensor) -> Tensor:
        """The next decision ``[B, A]`` of every scene."""
        answer, noise = self.teacher.latest, self.wander(features)
        led = (answer + self.strength[: len(answer)] * noise).clamp(-1, 1)
        if not self.lapse:
            return led
        chance = torch.rand(self.lapsing.shape, generator=self.generator)
        length = torch.randint(1, LAPSE + 1, self.lapsing.shape, generator=self.generator)
        begins = (self.lapsing == 0) & (chance < 1 / self.lapse)
        self.lapsing = torch.where(begins, length, (self.lapsing - 1).clamp(min=0))
        return torch.where(self.lapsing[: len(answer)] > 0, noise, led)


class Wander:
    """Random decisions that last: an AR(1) walk squashed into the bounds.

    Args:
        actions: A.
        memory: correlation of neighbouring decisions.
        seed: of the random stream.
    """

    def __init__(self, actions: int, memory: float = 0.8, seed: int = 0) -> None:
        self.actions, self.memory = actions, memory
        self.generator = torch.Generator().manual_seed(seed)
        self.state: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """The next decision ``[B, A]`` of every scene."""
        noise = torch.randn(len(features), self.actions, generator=self.generator)
        if self.state is None:
            self.state = noise
        else:
            self.state = self.memory * self.state + (1 - self.memory**2) ** 0.5 * noise
        return self.state.clamp(-1, 1)
