"""The methods that every result is set beside, on the same seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.progress import console
from foresight.envs.registry import EnvConfig, blind
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig, protocol_name, task_name
from foresight.evaluation.constant import TRAINING_SEED
from foresight.evaluation.episodes import policy_hash
from foresight.evaluation.results import load
from foresight.evaluation.statistics import Row
from foresight.experts import has_expert
from foresight.policies.registry import NamedPolicy

CONDITIONS = ("zero", "random", "constant", "expert", "oracle")
"""All baselines."""

TRAINING_SEEDS = tuple(range(TRAINING_SEED, TRAINING_SEED + 10))
"""Seeds on which the best constant action is searched: apart from those of evaluation."""


def paired_baselines(
    config: EvalConfig,
    methods: Iterable[str] = CONDITIONS,
    cache: EpisodeCache | None = None,
    *,
    training_seeds: Sequence[int] | None = None,
) -> list[Row]:
    """Rows of all baselines on the same seeds.

    ``constant`` is the best constant action found on ``training_seeds``. ``expert`` and ``oracle``
    look into a simulator and are made for a task: where there are none, they are left out with a
    note.

    Args:
        config: environment and seeds.
        methods: any of :data:`CONDITIONS`.
        cache: rows found there are not run again, new ones are added to it.
        training_seeds: where the constant action is searched; must not meet the seeds. One seed
            is enough for a trial run that cuts episodes short.

    Raises:
        ForesightError: an unknown method, or training seeds among the evaluation seeds.
    """
    cache = EpisodeCache() if cache is None else cache
    if training_seeds is None:
        training_seeds = TRAINING_SEEDS if config.max_steps is None else TRAINING_SEEDS[:1]
    own = replace(config, env=blind(config.env), parallel=1)
    rows: list[Row] = []
    for method in methods:
        name = _policy_name(cache, method, own, training_seeds)
        if name is not None:
            rows += assess_policy(own, method, NamedPolicy(name, own.env.id), cache).rows
    return rows


def _policy_name(
    cache: EpisodeCache, method: str, config: EvalConfig, training_seeds: Sequence[int]
) -> str | None:
    """The policy behind a method; None for an expert that the environment does not have."""
    if method not in CONDITIONS:
        raise ForesightError(f"Baseline {method!r}: expected one of {', '.join(CONDITIONS)}.")
    if method in ("expert", "oracle") and not has_expert(method, config.env.id):
        console.print(f"{config.task} has no {method}: it is left out.")
        return None
    if method != "constant":
        return method
    shared = sorted(set(config.seeds) & set(training_seeds))
    if shared:
        raise ForesightError(
            f"Seeds {shared} are both for evaluation and for the search of the constant action: "
            f"choose evaluation seeds below {min(training_seeds)}."
        )
    return cache.constant(config.env, training_seeds, config.workers)


def borrow_baselines(cache: EpisodeCache, env: EnvConfig, path: Path | str) -> int:
    """Let a cache know the baseline episodes that a result file holds, so they are not run again.

    A baseline's whole episodes follow from its name, the task, the protocol and the seed, so these
    are compared, not the hashes of settings that other revisions wrote. Rows keep the revision that
    they were measured at. Constant actions come along, as their search takes longer than their
    episodes. A file that is missing lends nothing.

    Args:
        cache: takes the rows, in memory only.
        env: of the episodes.
        path: usually ``results/baselines.json``.

    Returns:
        How many episodes were lent.

    Raises:
        ForesightError: the file is no valid result.
    """
    if not Path(path).exists():
        return 0
    result, own = load(path), blind(env)
    if result.protocol != protocol_name(env) or result.config.get("steps") is not None:
        return 0
    lent = 0
    for row in result.rows:
        if row.get("condition") not in CONDITIONS or row["task"] != task_name(env):
            continue
        name = str(row["behaviour"])
        cache.learn(row, policy_hash(own, NamedPolicy(name, own.id)))
        if row["condition"] == "constant":
            cache.learn_constant(own, TRAINING_SEEDS, name)
        lent += 1
    return lent
