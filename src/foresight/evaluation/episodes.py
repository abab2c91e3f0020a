"""Closed-loop episodes of behaviours and agents: one row each, whatever the number of workers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from typing import NamedTuple, Protocol

import numpy as np
import torch

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.core.provenance import git_revision
from foresight.core.simulator import Privileged
from foresight.envs.dmc import environment as dm_env
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.dmc.tasks import canonical, resolve
from foresight.envs.render import FrameRenderer, RenderSettings
from foresight.evaluation.results import config_hash
from foresight.evaluation.statistics import Row
from foresight.experts.oracle_settings import oracle_settings
from foresight.policies.registry import make_policy
from foresight.rollout.episode import action_spec
from foresight.rollout.pool import run_jobs

SUCCESS_RETURN = {"seed200": 150.0, "dmc1000": 750.0}
"""An episode is a success if its return is above this.

150 of at most 200; ``dmc1000`` takes the same share of its at most 1000."""

FILM = RenderSettings(size=192, quality="full")
"""How episodes are filmed for a report, whatever the agent itself sees."""


class Agent(Protocol):
    """What is evaluated.

    An agent that draws random numbers of its own may have ``seed(int)``, one that measures
    something during an episode ``notes() -> dict`` of plain values, which join the episode's row.
    """

    def reset(self, observation: dict[str, np.ndarray]) -> None:
        """Forget the last episode; ``observation`` is the first one of the new episode."""

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The action [A] for this observation."""


Start = Callable[[dm_env.DMControlEnv, int], dict[str, np.ndarray]]
"""Begins the episode of a seed in another way than ``env.reset``, and gives its first observation;
a dataclass, so that it has a hash and travels to workers."""


class Evaluation(NamedTuple):
    """Rows in the order of the seeds, and the frames uint8 [T, H, W, 3] of the filmed seeds."""

    rows: list[Row]
    films: dict[int, np.ndarray]


@dataclass(frozen=True)
class _Plan:
    """Everything about an episode but its seed; travels to the workers."""

    task: str
    protocol: str
    render: RenderSettings | None
    condition: str
    steps: int | None
    film: tuple[int, ...]
    film_settings: RenderSettings
    stamp: Row  # fields that every row carries
    start: Start | None = None


@dataclass
class _Outcome:
    row: Row
    film: np.ndarray | None


class _Actor(Protocol):
    """An agent or a behaviour behind one face; built once in each worker."""

    def start(self, env: dm_env.DMControlEnv, observation: dict, seed: int) -> None: ...
    def act(self, env: dm_env.DMControlEnv, observation: dict) -> np.ndarray: ...
    def notes(self) -> Row: ...


def evaluate_agent(
    make_agent: Callable[[], Agent],
    task: str,
    seeds: Sequence[int],
    protocol: str = "seed200",
    render: RenderSettings | None = RenderSettings(),  # noqa: B008 (frozen)
    condition: str = "agent",
    workers: int = 1,
    *,
    film: Sequence[int] = (),
    film_settings: RenderSettings = FILM,
    config: object = None,
    steps: int | None = None,
    start: Start | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> Evaluation:
    """Run an agent on ``seeds`` and return one row per episode.

    The agent is built once in each worker and is reset for each episode; all random generators
    (Python, NumPy, torch, and the agent's own if it has ``seed``) start from the episode's seed.
    So an episode does not depend on the ones before it nor on the number of workers, as long as
    the agent's arithmetic does not depend on the number of torch threads (cores // workers).

    Args:
        make_agent: builds the agent; must be picklable (a function of a module, a
            ``functools.partial`` or a dataclass with ``__call__``) for more than one worker.
        task: for example ``reacher-easy``.
        seeds: episode seeds, each once.
        protocol: ``seed200`` or ``dmc1000``.
        render: what the agent sees; None leaves ``pixels`` out of the observation.
        condition: name of this agent in tables.
        workers: processes; 1 runs in this one.
        film: seeds whose frames are to be returned, rendered apart from the agent's pixels.
        film_settings: how they are rendered.
        config: what else decides the result (weights, planner settings); enters the config hash.
        steps: cut episodes after this many decisions (trial runs; success stays as hard).
        start: begins each episode, ``env.reset`` if not given; enters the config hash.
        on_row: called with each row as soon as its episode ends, in any order.

    Raises:
        ForesightError: unknown task or protocol, repeated seeds, an agent that cannot travel to a
            worker, an invalid action, or a worker that died.
    """
    identity = _agent_identity(config, start)
    plan = _plan(task, protocol, render, condition, steps, film, film_settings, identity, {})
    plan = replace(plan, start=start)
    return _evaluate(plan, partial(_AgentActor, make_agent), seeds, workers, on_row)


def evaluate_behaviour(
    task: str,
    behaviour_spec: str,
    seeds: Sequence[int],
    protocol: str = "seed200",
    workers: int = 1,
    render: RenderSettings | None = None,
    *,
    condition: str | None = None,
    steps: int | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Run a behaviour (``zero``, ``constant:0.5``, ``oracle``, ...) and return one row per episode.

    Args are those of :func:`evaluate_agent`; the condition is the spec up to its first colon if
    it is not given.
    """
    plan = _behaviour_plan(task, behaviour_spec, protocol, render, condition, steps, (), FILM)
    actor = partial(_BehaviourActor, behaviour_spec, task)
    return _evaluate(plan, actor, seeds, workers, on_row).rows


def film_behaviour(
    task: str,
    behaviour_spec: str,
    seed: int,
    protocol: str = "seed200",
    settings: RenderSettings = FILM,
    steps: int | None = None,
) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] of one episode of a behaviour."""
    plan = _behaviour_plan(task, behaviour_spec, protocol, None, None, steps, (seed,), settings)
    return _evaluate(plan, partial(_BehaviourActor, behaviour_spec, task), [seed], 1).films[seed]


def simulator_version() -> str:
    """The simulator that produced an episode, as rows name it."""
    return f"mujoco {metadata.version('mujoco')}, dm_control {metadata.version('dm_control')}"


def success_threshold(protocol: str) -> float:
    """Return above which an episode of ``protocol`` is a success."""
    return SUCCESS_RETURN[get_protocol(protocol).name]


def behaviour_hash(
    task: str,
    behaviour_spec: str,
    protocol: str,
    render: RenderSettings | None = None,
    steps: int | None = None,
) -> str:
    """The config hash that rows of :func:`evaluate_behaviour` carry."""
    return _identity_hash(task, protocol, render, steps, _behaviour_identity(task, behaviour_spec))


def _behaviour_identity(task: str, spec: str) -> Row:
    """What decides a behaviour: its spec, and for the oracle how it was tuned for the task."""
    identity: Row = {"behaviour": spec}
    if "oracle" in spec.split(":"):
        tuned = oracle_settings(task)
        identity["oracle"] = replace(tuned, shaping=None)  # a function has no stable text
        identity["shaping"] = getattr(tuned.shaping, "__qualname__", None)
    return identity


def agent_hash(
    task: str,
    protocol: str,
    render: RenderSettings | None,
    steps: int | None,
    config: object,
    start: Start | None = None,
) -> str:
    """The config hash that rows of :func:`evaluate_agent` carry."""
    identity = _agent_identity(config, start)
    return _identity_hash(task, get_protocol(protocol).name, render, steps, identity)


def _agent_identity(config: object, start: Start | None) -> Row:
    return {"agent": config} | ({} if start is None else {"start": start})


def _identity_hash(
    task: str, protocol: str, render: RenderSettings | None, steps: int | None, more: Row
) -> str:
    identity = {"task": canonical(task), "protocol": protocol, "render": render, "steps": steps}
    return config_hash(identity | more)


def _behaviour_plan(
    task: str,
    spec: str,
    protocol: str,
    render: RenderSettings | None,
    condition: str | None,
    steps: int | None,
    film: tuple[int, ...],
    film_settings: RenderSettings,
) -> _Plan:
    name = condition or spec.partition(":")[0]
    identity = _behaviour_identity(task, spec)
    mark = {"behaviour": spec}
    return _plan(task, protocol, render, name, steps, film, film_settings, identity, mark)


def _plan(
    task: str,
    protocol: str,
    render: RenderSettings | None,
    condition: str,
    steps: int | None,
    film: Sequence[int],
    film_settings: RenderSettings,
    identity: Row,
    marks: Row,
) -> _Plan:
    resolve(task)
    settings = get_protocol(protocol)
    if steps is not None and not 1 <= steps <= settings.decisions:
        raise ForesightError(
            f"Episodes of {steps} steps: {settings.name} has 1 to {settings.decisions} decisions."
        )
    stamp = {
        "git": git_revision(),
        "config_hash": _identity_hash(task, settings.name, render, steps, identity),
        "simulator": simulator_version(),
    }
    return _Plan(
        task=canonical(task),
        protocol=settings.name,
        render=render,
        condition=condition,
        steps=steps,
        film=tuple(film),
        film_settings=film_settings,
        stamp=stamp | marks,
    )


def _evaluate(
    plan: _Plan,
    make_actor: Callable[[], _Actor],
    seeds: Sequence[int],
    workers: int,
    on_row: Callable[[Row], None] | None = None,
) -> Evaluation:
    seeds = [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ForesightError(f"Seeds {seeds}: expected one or more non-negative ones, each once.")
    rows: dict[int, Row] = {}
    films: dict[int, np.ndarray] = {}
    label = f"{plan.condition} on {plan.task}"
    for outcome in run_jobs(partial(_Episodes, plan, make_actor), seeds, workers, label):
        seed = outcome.row["seed"]
        rows[seed] = outcome.row
        if outcome.film is not None:
            films[seed] = outcome.film
        if on_row is not None:
            on_row(outcome.row)
    wanted = [seed for seed in seeds if seed in films]
    return Evaluation([rows[seed] for seed in seeds], {seed: films[seed] for seed in wanted})


@dataclass
class _Episodes:
    """Runs episodes of one plan in one process, keeping environment and actor between them."""

    plan: _Plan
    make_actor: Callable[[], _Actor]
    env: dm_env.DMControlEnv = field(init=False)
    actor: _Actor = field(init=False)

    def __post_init__(self) -> None:
        self.env = dm_env.make(self.plan.task, self.plan.protocol, self.plan.render)
        self.actor = self.make_actor()

    def __call__(self, seed: int) -> _Outcome:
        plan, env = self.plan, self.env
        _seed_everything(seed)
        observation = env.reset(seed=seed)[0] if plan.start is None else plan.start(env, seed)
        filmed = seed in plan.film
        camera = FrameRenderer(env.physics.model.ptr, plan.film_settings) if filmed else None
        self.actor.start(env, observation, seed)
        frames: list[np.ndarray] = []
        total, length, seconds, over = 0.0, 0, 0.0, False
        while not over and length != plan.steps:
            if camera is not None:
                frames.append(camera.render(env.physics.data.ptr).copy())
            begin = time.perf_counter()
            action = self.actor.act(env, observation)
            seconds += time.perf_counter() - begin
            observation, reward, terminated, truncated, _ = env.step(action)
            total, length, over = total + float(reward), length + 1, terminated or truncated
        if camera is not None:
            camera.close()
        row = {
            "task": plan.task,
            "condition": plan.condition,
            "seed": seed,
            "return": total,
            "success": total > success_threshold(plan.protocol),
            "length": length,
            **plan.stamp,
            "decision_ms": 1000 * seconds / length,
            **self.actor.notes(),
        }
        return _Outcome(row, np.stack(frames) if frames else None)


class _AgentActor:
    def __init__(self, make_agent: Callable[[], Agent]) -> None:
        self.agent = make_agent()

    def start(self, env: dm_env.DMControlEnv, observation: dict, seed: int) -> None:
        own = getattr(self.agent, "seed", None)
        if callable(own):
            own(seed)
        self.agent.reset(observation)

    def act(self, env: dm_env.DMControlEnv, observation: dict) -> np.ndarray:
        return self.agent.act(observation)

    def notes(self) -> Row:
        own = getattr(self.agent, "notes", None)
        return own() if callable(own) else {}


class _BehaviourActor:
    def __init__(self, spec: str, task: str) -> None:
        self.spec, self.task = spec, task
        self.behaviour: Policy

    def start(self, env: dm_env.DMControlEnv, observation: dict, seed: int) -> None:
        # A new one for each episode, as in collecting: nothing can leak from the last one.
        close = getattr(getattr(self, "behaviour", None), "close", None)
        if callable(close):
            close()
        self.behaviour = make_policy(self.spec, action_spec(env), self.task)
        if isinstance(self.behaviour, Privileged):
            self.behaviour.attach(env)
        self.behaviour.reset(Observation.of(observation), seed)

    def act(self, env: dm_env.DMControlEnv, observation: dict) -> np.ndarray:
        return self.behaviour.act(Observation.of(observation))

    def notes(self) -> Row:
        return {}


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
