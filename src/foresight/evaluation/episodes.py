"""Closed-loop episodes of policies: one row each, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foresight.core.episode import Episode
from foresight.core.files import file_fingerprint
from foresight.core.provenance import git_revision
from foresight.envs.factories import full_id
from foresight.envs.registry import EnvConfig
from foresight.evaluation.config import (
    expect_seeds,
    simulator_version,
    succeeded,
    task_name,
)
from foresight.evaluation.results import config_hash
from foresight.evaluation.statistics import Row
from foresight.policies.registry import MakePolicy, NamedPolicy
from foresight.rollout import Film, run_episodes
from foresight.rollout.vector import Start


class Evaluation(NamedTuple):
    """Rows in the order of the seeds, and the frames uint8 [T, H, W, 3] of the filmed seeds."""

    rows: list[Row]
    films: dict[int, np.ndarray]


def evaluate_policy(
    env: EnvConfig,
    make_policy: MakePolicy,
    seeds: Sequence[int],
    *,
    method: str = "policy",
    workers: int = 1,
    parallel: int = 1,
    max_steps: int | None = None,
    film: Film | None = None,
    start: Start | None = None,
    data: str | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> Evaluation:
    """Run a policy on ``seeds`` and return one row for each episode.

    A row holds the task, the condition (the method's name), seed, return, success (where somebody
    can tell), length, revision, hash of everything that decides the result, simulator, decision
    time, and what the policy noted.

    Args:
        env: what to act in.
        make_policy: makes the policy in each worker; see `foresight.rollout.run_episodes`.
        seeds: of the episodes, each once.
        method: name of the policy in tables.
        workers: processes; the numbers do not depend on it.
        parallel: episodes side by side in each of them.
        max_steps: cut episodes short (trial runs; success stays as hard).
        film: seeds whose frames are to be returned.
        start: begins each episode, ``env.reset`` if not given; enters the hash.
        data: fingerprint of what else decides the result, such as demonstrations.
        on_row: called with each row as soon as its episode ends, in any order.

    Raises:
        ForesightError: seeds that are none, and whatever environment and policy have to say.
    """
    expect_seeds(tuple(seeds))
    stamp = stamp_of(env, make_policy, max_steps, start, data)
    rows: list[Row] = []
    films: dict[int, np.ndarray] = {}

    def tell(outcome: tuple[Row, np.ndarray | None]) -> None:
        if on_row is not None:
            on_row(outcome[0])

    outcomes = run_episodes(
        env,
        make_policy,
        seeds,
        parallel=parallel,
        workers=workers,
        max_steps=max_steps,
        start=start,
        film=film,
        images=False,
        finish=partial(episode_row, env, method, stamp),
        on_episode=tell,
        label=f"{method} on {task_name(env)}",
    )
    for row, frames in outcomes:
        rows.append(row)
        if frames is not None:
            films[row["seed"]] = frames
    return Evaluation(rows, films)


def stamp_of(
    env: EnvConfig,
    make_policy: MakePolicy,
    max_steps: int | None = None,
    start: Start | None = None,
    data: str | None = None,
) -> Row:
    """What all rows of one policy have in common: revision, hash and simulator."""
    stamp = {
        "git": git_revision(),
        "config_hash": policy_hash(env, make_policy, max_steps, start, data),
        "simulator": simulator_version(env),
    }
    if isinstance(make_policy, NamedPolicy):
        stamp["behaviour"] = make_policy.name
    return stamp


def policy_hash(
    env: EnvConfig,
    make_policy: MakePolicy,
    max_steps: int | None = None,
    start: Start | None = None,
    data: str | None = None,
) -> str:
    """Hash of everything that decides the rows of :func:`evaluate_policy`, as they carry it."""
    known = replace(env, id=full_id(env.id))
    identity = {"env": known, "max_steps": max_steps, "policy": settings_of(make_policy)}
    more = {"start": start, "data": data}
    return config_hash(identity | {name: value for name, value in more.items() if value})


def settings_of(make_policy: MakePolicy) -> dict[str, Any]:
    """What decides a policy: the settings of its maker, and the weights of its checkpoint."""
    if isinstance(make_policy, NamedPolicy):
        return {"name": make_policy.name} | _oracle_settings(make_policy)
    if not is_dataclass(make_policy):
        return {"maker": getattr(make_policy, "__qualname__", type(make_policy).__name__)}
    maker: Any = make_policy
    found: dict[str, Any] = {"maker": type(maker).__name__}
    found |= {each.name: getattr(maker, each.name) for each in fields(maker)}
    checkpoint = found.pop("checkpoint", None)
    if checkpoint is not None:
        found["weights"] = file_fingerprint(Path(checkpoint) / "model.safetensors")
    return found


def _oracle_settings(named: NamedPolicy) -> dict[str, Any]:
    """How the oracle is tuned for the task, where it acts."""
    if "oracle" not in named.name.split(":") or named.env_id is None:
        return {}
    from foresight.experts.expert import task_of
    from foresight.experts.oracle_settings import oracle_settings

    tuned = oracle_settings(task_of("oracle", named.env_id))
    shaping = getattr(tuned.shaping, "__qualname__", None)
    return {"oracle": replace(tuned, shaping=None), "shaping": shaping}  # functions have no text


def episode_row(
    env: EnvConfig, method: str, stamp: Row, episode: Episode
) -> tuple[Row, np.ndarray | None]:
    """What is kept of an episode; made where it was run, so that no frames travel."""
    info = episode.info
    row: Row = {
        "task": task_name(env),
        "condition": method,
        "seed": info["seed"],
        "return": info["return"],
        "success": succeeded(env, episode),
        "length": len(episode),
        **stamp,
        "decision_ms": info["decision_ms"],
        **info["notes"],
    }
    if row["success"] is None:
        del row["success"]
    return row, info.get("film")
