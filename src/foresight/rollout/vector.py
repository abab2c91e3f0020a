"""Environments of one kind that step together, each with an episode of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, BatchPolicy, Policy
from foresight.core.simulator import Privileged
from foresight.core.stopwatch import Stopwatch
from foresight.envs.registry import EnvConfig, spec_of, task_of
from foresight.policies.registry import MakePolicy
from foresight.rollout.film import Film, open_camera
from foresight.rollout.recorder import Recorder

ENDLESS = 100_000
"""Decisions after which an episode without an end is given up."""


class Start(Protocol):
    """Begins the episode of a seed in another way than ``env.reset``; a picklable dataclass."""

    def __call__(self, env: Any, seed: int, /) -> tuple[dict[str, Any], dict[str, Any]]:
        """Observation and info, as ``reset`` gives them."""
        ...


@dataclass
class _Robot:
    """One environment of the vector, and the episode that it is in."""

    env: Any
    recorder: Recorder
    observation: Observation
    info: dict[str, Any]
    camera: Callable[[], np.ndarray] | None = None
    active: bool = True


class VectorRollout:
    """Steps several environments together; a `BatchPolicy` is asked once a step for all of them.

    An environment whose episode is over does not step further. Numbers do not depend on how many
    environments there are, for policies whose arithmetic does not depend on the batch.

    Args:
        env: what to make.
        count: environments, at least 1.
        max_steps: cut episodes after so many decisions.
        expert: asked about every state before anyone acts; its answers are ``action.expert``.
        start: begins each episode, ``env.reset`` if not given.
        film: which seeds to film, and how; frames are ``info["film"]``.
        images: whether episodes keep their pictures.
        watch: times ``simulate`` (with rendering), ``expert`` and ``act``.

    Raises:
        ForesightError: an environment that cannot be made, a count or a limit below 1.
    """

    def __init__(
        self,
        env: EnvConfig,
        count: int = 1,
        *,
        max_steps: int | None = None,
        expert: MakePolicy | None = None,
        start: Start | None = None,
        film: Film | None = None,
        images: bool = True,
        watch: Stopwatch | None = None,
    ) -> None:
        if count < 1:
            raise ForesightError(f"{count} environments side by side: expected at least 1.")
        if max_steps is not None and max_steps < 1:
            raise ForesightError(f"Episodes of {max_steps} decisions: expected at least 1.")
        self.config, self.max_steps = env, max_steps
        self.start, self.film, self.images = start, film, images
        self.watch = watch or Stopwatch()
        self.envs: list[Any] = [env.make() for _ in range(count)]
        if not images and not env.observation_lag and not env.jitter:
            for each in self.envs:  # nobody but the policy looks, and not at every step
                if hasattr(each.unwrapped, "on_demand"):
                    each.unwrapped.on_demand = True
        self.spec = spec_of(self.envs[0])
        self.task = task_of(self.envs[0]) or env.id
        self.experts = [] if expert is None else [expert(self.spec) for _ in self.envs]
        for each, inside in zip(self.experts, self.envs, strict=False):
            _attach(each, inside)

    def __enter__(self) -> VectorRollout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free environments and experts."""
        for each in self.experts:
            each.close()
        for env in self.envs:
            env.close()

    def run(self, policies: BatchPolicy | Sequence[Policy], seeds: Sequence[int]) -> list[Episode]:
        """One episode of every environment, or of as many as there are seeds.

        Args:
            policies: one for all, or one for each seed.
            seeds: of the episodes; at most one for each environment.

        Raises:
            ForesightError: too many seeds, an observation that is not what the environment's spec
                promises, an action that is not finite or of the wrong shape, an episode without
                an end.
        """
        if not 0 < len(seeds) <= len(self.envs):
            raise ForesightError(
                f"{len(seeds)} episodes in {len(self.envs)} environments: give 1 to "
                f"{len(self.envs)} seeds."
            )
        team = policies if isinstance(policies, BatchPolicy) else Team(policies)
        with ExitStack() as closing:
            robots = [self._begin(i, seed, closing) for i, seed in enumerate(seeds)]
            _attach_all(team, [robot.env for robot in robots])
            first = [robot.observation for robot in robots]
            for expert, observation, seed in zip(self.experts, first, seeds, strict=False):
                expert.reset(observation, seed)
            team.reset_batch(first, list(seeds))
            while any(robot.active for robot in robots):
                self._step(robots, team)
        notes = team.notes_batch() or [{} for _ in robots]
        return [r.recorder.episode(note) for r, note in zip(robots, notes, strict=True)]

    def _begin(self, index: int, seed: int, closing: ExitStack) -> _Robot:
        env = self.envs[index]
        with self.watch.stage("simulate"):
            raw, info = env.reset(seed=seed) if self.start is None else self.start(env, seed)
        observation = Observation.of(raw, self.task, info=info)
        observation.check(self.spec, f"The environment {self.config.id}")
        known = {"seed": int(seed), "environment": self.config.id}
        delayed = bool(self.config.action_delay or self.config.jitter)
        recorder = Recorder(self.task, self.spec.fps, known, self.images, delayed)
        filmed = self.film is not None and seed in self.film.seeds
        camera = open_camera(env, self.film, closing) if self.film and filmed else None
        return _Robot(env, recorder, observation, info, camera)

    def _step(self, robots: Sequence[_Robot], team: BatchPolicy) -> None:
        """One decision of every robot whose episode goes on."""
        active = [robot.active for robot in robots]
        for robot in robots:
            if robot.active:
                robot.recorder.saw(robot.observation, robot.info)
                if robot.camera is not None:
                    robot.recorder.film.append(robot.camera())
        advice = self._ask(robots)
        began = time.perf_counter()
        with self.watch.stage("act"):
            actions = team.act_batch([robot.observation for robot in robots], active)
        seconds = (time.perf_counter() - began) / sum(active)
        told = _advice_of(team, len(robots))
        with self.watch.stage("simulate"):
            for i, robot in enumerate(robots):
                if robot.active:
                    robot.recorder.seconds += seconds
                    self._act(robot, actions[i], advice[i] if told[i] is None else told[i])

    def _ask(self, robots: Sequence[_Robot]) -> list[Action | None]:
        if not self.experts:
            return [None] * len(robots)
        with self.watch.stage("expert"):
            return [
                self._bounded(expert.act(robot.observation)) if robot.active else None
                for expert, robot in zip(self.experts, robots, strict=False)
            ]

    def _act(self, robot: _Robot, action: Any, advice: Action | None) -> None:
        held, recorder = self._bounded(action), robot.recorder
        raw, reward, terminated, truncated, info = robot.env.step(held)
        recorder.did(held, float(reward), bool(terminated), info, advice)
        length = len(recorder.actions)
        robot.active = not (terminated or truncated or length == self.max_steps)
        if robot.active and length >= ENDLESS:
            raise ForesightError(
                f"An episode of {self.config.id} did not end within {ENDLESS} decisions: give it a "
                "time limit."
            )
        robot.observation = Observation.of(raw, self.task, length / self.spec.fps, info)
        robot.info = info

    def _bounded(self, action: Any) -> Float32[np.ndarray, " A"]:
        """Within the bounds: what the robot gets is what is written down."""
        found = np.asarray(action, np.float32)
        if found.shape != (len(self.spec.action),):
            raise ForesightError(
                f"The policy gave an action of shape {list(found.shape)} where {self.config.id} "
                f"takes {len(self.spec.action)} numbers."
            )
        if not np.isfinite(found).all():
            raise ForesightError(
                f"The action {found.tolist()} is not finite: check what produced it."
            )
        return np.clip(found, self.spec.low, self.spec.high)


class Team(BatchPolicy):
    """Policies that act side by side, one for each robot; a batch policy may serve several.

    Args:
        members: policies, and the robots of each; a plain policy has one.
    """

    def __init__(self, members: Sequence[Policy] | Sequence[tuple[Policy, Sequence[int]]]) -> None:
        self.members: list[tuple[Policy, Sequence[int]]] = [
            member if isinstance(member, tuple) else (member, [i])
            for i, member in enumerate(members)
        ]

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin an episode for each robot."""
        for policy, robots in self.members:
            if isinstance(policy, BatchPolicy):
                policy.reset_batch([observations[i] for i in robots], [seeds[i] for i in robots])
            else:
                policy.reset(observations[robots[0]], seeds[robots[0]])

    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """Ask those whose episodes go on."""
        going = [True] * len(observations) if active is None else active
        found: list[Any] = [None] * len(observations)
        for policy, robots in self.members:
            if not any(going[i] for i in robots):
                continue
            seen = [observations[i] for i in robots]
            if isinstance(policy, BatchPolicy):
                actions: Any = policy.act_batch(seen, [going[i] for i in robots])
            else:
                actions = [policy.act(seen[0])]
            for i, action in zip(robots, actions, strict=True):
                found[i] = action
        shape = next(np.shape(action) for action in found if action is not None)
        idle = np.zeros(shape, np.float32)
        return np.stack([idle if action is None else action for action in found])

    def notes_batch(self) -> list[dict[str, Any]]:
        """What each policy measured."""
        found: dict[int, dict[str, Any]] = {}
        for policy, robots in self.members:
            several = policy.notes_batch() if isinstance(policy, BatchPolicy) else [policy.notes()]
            found.update(zip(robots, several or [{}] * len(robots), strict=True))
        return [found[i] for i in sorted(found)]


def _attach(policy: Policy, env: Any) -> None:
    if isinstance(policy, Privileged):
        policy.attach(env)


def _attach_all(team: BatchPolicy, envs: Sequence[Any]) -> None:
    """Plain policies may look into the environment that they act in."""
    if isinstance(team, Team):
        for policy, robots in team.members:
            _attach(policy, envs[robots[0]])


def _advice_of(team: BatchPolicy, count: int) -> list[Action | None]:
    """What policies heard that ask an expert themselves; it becomes ``action.expert``."""
    found: list[Action | None] = [None] * count
    if isinstance(team, Team):
        for policy, robots in team.members:
            found[robots[0]] = getattr(policy, "expert_action", None)
    return found
