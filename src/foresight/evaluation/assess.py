"""Evaluate a policy beside its baselines on the same seeds; nothing finished is run twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from foresight.envs.registry import EnvConfig
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.episodes import Evaluation, evaluate_policy, policy_hash
from foresight.evaluation.statistics import Row
from foresight.perception.encoder import load_encoder
from foresight.policies.registry import MakePolicy
from foresight.rollout import Film
from foresight.rollout.vector import Start


def seen_by(encoder: str, env: EnvConfig) -> EnvConfig:
    """An environment with pictures as an encoder takes them."""
    return replace(env, size=load_encoder(encoder).image_size, quality=env.quality or "smooth")


def assess_policy(
    config: EvalConfig,
    method: str,
    make_policy: MakePolicy,
    cache: EpisodeCache,
    film: Sequence[int] = (),
    start: Start | None = None,
    data: str | None = None,
) -> Evaluation:
    """Rows of a policy; those that ``cache`` holds already are not run again.

    The weights and every setting enter the rows' config hash, so rows of an older model are never
    taken for this one's. Filmed seeds run again, for their film is not kept.

    Args:
        config: environment and seeds.
        method: name of the policy in tables.
        make_policy: makes it; with a ``checkpoint``, the folder of its weights, if it has some.
        cache: finished rows.
        film: seeds to be filmed.
        start: begins each episode, if not as the seed has it.
        data: fingerprint of what else decides the result, such as demonstrations.
    """
    digest = policy_hash(config.env, make_policy, config.max_steps, start, data)

    def finished(seed: int) -> Row | None:
        return cache.find(config.env, method, seed, digest)

    missing = [seed for seed in config.seeds if finished(seed) is None or seed in film]
    known = {seed for seed in missing if finished(seed) is not None}

    def keep(row: Row) -> None:
        if row["seed"] not in known:
            cache.add(row)

    films = {}
    if missing:
        films = evaluate_policy(
            config.env,
            make_policy,
            missing,
            method=method,
            workers=min(config.workers, len(missing)),
            parallel=config.parallel,
            max_steps=config.max_steps,
            film=Film(tuple(seed for seed in film if seed in config.seeds)) if film else None,
            start=start,
            data=data,
            on_row=keep,
        ).films
    return Evaluation([row for seed in config.seeds if (row := finished(seed)) is not None], films)
