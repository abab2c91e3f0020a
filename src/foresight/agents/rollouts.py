"""Several episodes side by side in one process, seen and planned for as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.agents.imagining import Gaze
from foresight.envs.dm_env import DMControlEnv
from foresight.envs.protocol import Protocol, get_protocol
from foresight.envs.render import RenderSettings

Decide = Callable[[Tensor], Tensor]
"""Features of B scenes to their decisions in [-1, 1], ``[B, F] -> [B, A]``."""


@dataclass(frozen=True)
class Rolled:
    """Whole episodes of one length."""

    features: Float[Tensor, "n T+1 *F"]
    actions: Float[Tensor, "n T A"]
    rewards: Float[Tensor, "n T"]


class Arena:
    """Environments of one task that step together.

    Args:
        task: for example ``reacher-easy``.
        protocol: its length; decisions are held for ``repeat`` of its steps.
        repeat: control steps of a decision.
        count: environments.
        length: control steps of an episode, the protocol's if not given.
        size: of frames in pixels.

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
    ) -> None:
        base = get_protocol(protocol)
        held = Protocol(base.name, length or base.steps, repeat)
        look = RenderSettings(size=size, quality="smooth")
        self.envs = [DMControlEnv(task, held, look) for _ in range(count)]
        self.decisions = held.decisions
        self.low = self.envs[0].action_space.low
        self.high = self.envs[0].action_space.high

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        for env in self.envs:
            env.close()

    def roll(self, seeds: Sequence[int], gaze: Gaze, decide: Decide) -> Rolled:
        """One episode of every environment (or of as many as there are seeds)."""
        gaze.reset()
        envs = self.envs[: len(seeds)]
        frames = [env.reset(seed=seed)[0]["pixels"] for env, seed in zip(envs, seeds, strict=True)]
        seen, taken, earned = [gaze.see(np.stack(frames))], [], []
        for _ in range(self.decisions):
            action = decide(seen[-1]).cpu()
            control = self.low + (action.numpy() + 1) / 2 * (self.high - self.low)
            results = [env.step(one) for env, one in zip(envs, control, strict=True)]
            seen.append(gaze.see(np.stack([result[0]["pixels"] for result in results])))
            taken.append(action)
            earned.append([result[1] for result in results])
        return Rolled(
            torch.stack(seen, 1).cpu(),
            torch.stack(taken, 1),
            torch.tensor(earned, dtype=torch.float32).T,
        )


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
