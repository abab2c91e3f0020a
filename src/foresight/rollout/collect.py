"""Run planned episodes into a dataset; a killed run resumes where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.data.encoding import EncodedEpisode, encode_episode
from foresight.data.features import LOSSLESS
from foresight.data.layout import is_dataset
from foresight.envs.factories import default_protocol
from foresight.envs.registry import EnvConfig, spec_of
from foresight.experts import has_expert
from foresight.rollout.episode import EpisodeSpec, judged
from foresight.rollout.recorder import ISSUED
from foresight.rollout.run import run_episodes

FIRST_SEED = 20_000
"""Recorded episodes start here: evaluation uses 0 and up, the search of constants 10,000 and up."""
PLANNED = ("environment", "seed", "policy", "steps", "options")
"""What of an episode's info tells it from others of a plan."""


def plan_episodes(
    env: EnvConfig,
    episodes: int,
    policies: Sequence[str] = (),
    first_seed: int = FIRST_SEED,
    max_steps: int | None = None,
) -> list[EpisodeSpec]:
    """Episodes of one environment, policies taken in turn.

    Args:
        env: where.
        episodes: how many.
        policies: names; `default_policies` if not given.
        first_seed: of the first episode; the others follow.
        max_steps: cut them short: more different scenes for the same number of frames.

    Raises:
        ForesightError: no episodes, or an unknown environment.
    """
    if episodes < 1:
        raise ForesightError(f"{episodes} episodes were asked for: collect at least 1.")
    turns = tuple(policies) or default_policies(env.id)
    return [
        EpisodeSpec(env, first_seed + i, turns[i % len(turns)], max_steps) for i in range(episodes)
    ]


def default_policies(env_id: str) -> tuple[str, ...]:
    """A third random, the rest the task's expert (or oracle) at ε = 0.3, else lasting noise."""
    for expert in ("expert", "oracle"):
        if has_expert(expert, env_id):
            return ("random", f"eps:0.3:{expert}", f"eps:0.3:{expert}")
    return ("random", "ar1:0.9", "ar1:0.9")


def collect(
    path: Path | str,
    specs: Sequence[EpisodeSpec],
    workers: int = 1,
    *,
    codec: str = LOSSLESS,
    parallel: int = 1,
) -> Dataset:
    """Run ``specs`` and store their episodes at ``path``, in this order.

    Frames are encoded by the processes that render them. Episodes that are stored already are
    skipped, so the same call finishes what a killed one began and the folder ends up the same,
    byte for byte. A longer plan extends a dataset. An episode that a repair has moved out is run
    again and appended at the end.

    Args:
        path: folder of the dataset; made if needed.
        specs: what to run. All need the same cameras, state, action and rate.
        workers: processes; the data do not depend on it.
        codec: how frames are written, see `foresight.data.dataset.Dataset.create`.
        parallel: episodes side by side in each process.

    Returns:
        The finished dataset.

    Raises:
        ForesightError: the dataset holds episodes that are not in the plan, the specs do not fit
            together, a worker died, or the disk is full or read-only.
    """
    if not specs:
        raise ForesightError("The plan holds no episode: ask for one or more.")
    stored = Dataset.open(path) if is_dataset(Path(path)) else None
    missing = list(specs) if stored is None else _missing(stored, specs)
    spec = _common_spec(missing) if missing or stored is None else stored.spec
    dataset = Dataset.open_or_create(path, spec, codec=codec)
    with dataset:
        for env, group in groupby(missing, key=lambda spec: spec.env):
            _append(dataset, env, list(group), workers, codec, parallel)
        dataset.finish()
    return dataset


def _append(
    dataset: Dataset,
    env: EnvConfig,
    specs: list[EpisodeSpec],
    workers: int,
    codec: str,
    parallel: int,
) -> None:
    for max_steps, group in groupby(specs, key=lambda spec: spec.max_steps):
        planned = list(group)
        # One seed under several policies: one after the other.
        apart = len({spec.seed for spec in planned}) < len(planned)
        for some in [[spec] for spec in planned] if apart else [planned]:
            plans = {spec.seed: _planned(spec) for spec in some}
            episodes = run_episodes(
                env,
                [spec.maker for spec in some],
                [spec.seed for spec in some],
                parallel=parallel,
                workers=workers,
                max_steps=max_steps,
                finish=partial(_encoded, env, plans, codec),
                label="collecting",
            )
            try:
                for episode in episodes:
                    dataset.append(episode)
            finally:  # ends the processes if the disk is full
                episodes.close()  # type: ignore[attr-defined]


def _encoded(
    env: EnvConfig, plans: Mapping[int, dict[str, Any]], codec: str, episode: Episode
) -> EncodedEpisode:
    """Ready for the disk, in the process that ran it; nothing that was timed goes along."""
    columns = dict(episode.columns)
    if env.action_delay or env.jitter:
        columns.setdefault(ISSUED, np.array(episode.action))
    found = replace(judged(episode, env), info=plans[episode.info["seed"]], columns=columns)
    return encode_episode(found, codec)


def _common_spec(specs: Sequence[EpisodeSpec]) -> Spec:
    """What all episodes of a plan have."""
    found: dict[EnvConfig, Spec] = {}
    for config in dict.fromkeys(spec.env for spec in specs):
        env = config.make()
        found[config] = spec_of(env)
        env.close()
    (first, spec), *others = found.items()
    for config, other in others:
        words = spec.difference(other)
        if words is not None:
            raise ForesightError(
                f"The plan mixes {first.id} and {config.id}, which do not fit into one dataset: "
                f"{words}. Make one for each."
            )
    return spec


def _planned(spec: EpisodeSpec) -> dict[str, Any]:
    """What the info of a planned episode says."""
    env = spec.env
    known = {"environment": env.id, "seed": spec.seed, "policy": spec.policy}
    protocol = env.protocol or default_protocol(env.id)
    if protocol is not None:
        known["protocol"] = protocol
    if spec.tries:
        known["tries"] = spec.tries
    defaults = {field.name: field.default for field in fields(EnvConfig)}
    options = {
        name: value
        for name, value in asdict(env).items()
        if name not in ("id", "protocol") and value != defaults[name]
    }
    return {**known, "steps": spec.max_steps, "options": options}


def _identity(info: Mapping[str, Any]) -> str:
    """What an episode was to be, whatever came of it."""
    return fingerprint({name: info.get(name) for name in (*PLANNED, "protocol")})


def _missing(dataset: Dataset, specs: Sequence[EpisodeSpec]) -> list[EpisodeSpec]:
    """The planned episodes that are not stored yet, in order."""
    stored = Counter(_identity(meta.info) for meta in dataset.metas)
    missing = []
    for spec in specs:
        name = _identity(_planned(spec))
        if stored[name]:
            stored[name] -= 1
        else:
            missing.append(spec)
    for meta in dataset.metas:
        if stored[_identity(meta.info)]:
            told = ", ".join(f"{name} {meta.info.get(name)}" for name in PLANNED)
            raise ForesightError(
                f"{dataset.path} holds episode {meta.index} ({told}), which is not in the plan: "
                "use the plan it was made with or choose another folder."
            )
    return missing
