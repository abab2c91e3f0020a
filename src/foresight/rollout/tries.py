"""Which episodes of a plan succeed, found out before any of their pictures is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.envs.registry import EnvConfig, blind
from foresight.rollout.collect import FIRST_SEED, plan_episodes
from foresight.rollout.episode import EpisodeSpec, judged
from foresight.rollout.run import run_episodes

SIGHTLESS = {"zero", "random", "constant", "ar1", "eps", "expert", "oracle", "noisy"}
"""Kinds of policies that look at no picture: their episodes are the same without any."""
MOST_TRIES = 10
"""Tries for each success, on average, after which it is given up."""


def plan_successful(
    env: EnvConfig,
    episodes: int,
    policies: Sequence[str] = (),
    first_seed: int = FIRST_SEED,
    max_steps: int | None = None,
    workers: int = 1,
) -> list[EpisodeSpec]:
    """As `foresight.rollout.collect.plan_episodes`, of episodes that succeed.

    Raises:
        ForesightError: as there, and as :func:`successful`.
    """
    specs = plan_episodes(env, MOST_TRIES * episodes, policies, first_seed, max_steps)
    return successful(specs, episodes, workers)


def successful(specs: Sequence[EpisodeSpec], wanted: int, workers: int = 1) -> list[EpisodeSpec]:
    """The first episodes of a plan that succeed, in its order.

    Simulated physics costs little beside its pictures, so what is to be recorded is tried without
    them. Episodes follow from their specs alone: recorded afterwards, they succeed again.

    Args:
        specs: of one environment, each with another seed, more than are wanted.
        wanted: how many successes.
        workers: processes; the answer does not depend on it.

    Returns:
        ``wanted`` specs. The ``tries`` of each say how many episodes were tried since the one
        before it.

    Raises:
        ForesightError: too few succeed, or nobody can tell.
    """
    env, kept, failed = specs[0].env, list[EpisodeSpec](), 0
    kinds = {word for spec in specs for word in spec.policy.split(":") if word.isidentifier()}
    outcomes = run_episodes(
        blind(env) if kinds <= SIGHTLESS | {"clip"} else env,
        [spec.maker for spec in specs],
        [spec.seed for spec in specs],
        workers=workers,
        max_steps=specs[0].max_steps,
        images=False,
        finish=partial(_outcome, env),
        label="trying",
    )
    try:
        for spec, success in zip(specs, outcomes, strict=True):
            if success is None:
                raise ForesightError(
                    f"{env.id} does not say whether an episode succeeded: give info['success'], or "
                    "record all of them."
                )
            failed += not success
            if success:
                kept.append(replace(spec, tries=failed + 1))
                failed = 0
            if len(kept) == wanted:
                return kept
    finally:
        outcomes.close()  # type: ignore[attr-defined]  # ends the processes
    raise ForesightError(
        f"Only {len(kept)} of {len(specs)} episodes of {env.id} succeeded where {wanted} were "
        "wanted: choose a better policy, or fewer episodes."
    )


def _outcome(env: EnvConfig, episode: Episode) -> bool | None:
    return judged(episode, env).success
