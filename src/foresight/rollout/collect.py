"""Run planned episodes into a dataset; a killed run resumes where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import track
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.data.encoding import EncodedEpisode, encode_episode
from foresight.envs.dmc.environment import make
from foresight.rollout.episode import Episode, EpisodeSpec, SpecRunner, as_stored
from foresight.rollout.pool import run_jobs

PLANNED = ("environment", "seed", "policy", "protocol", "render", "steps")
"""What of an episode's info tells it from others of a plan."""


def collect(path: Path | str, specs: Sequence[EpisodeSpec], workers: int) -> Dataset:
    """Run ``specs`` and store their episodes at ``path``, in this order.

    Frames are encoded by the processes that render them. Episodes that are stored already are
    skipped, so the same call finishes what a killed one began and the folder ends up the same,
    byte for byte. A longer plan extends a dataset. An episode that a repair has dropped is run
    again and appended at the end.

    Args:
        path: folder of the dataset; made if needed.
        specs: what to run. All need the same render settings, sizes and time step.
        workers: processes; the data do not depend on it.

    Returns:
        The finished store.

    Raises:
        ForesightError: the dataset holds episodes that are not in the plan, the specs do not fit
            together, a worker died, or the disk is full or read-only.
    """
    if not specs:
        raise ForesightError("The plan holds no episode: ask for one or more.")
    store = Dataset.open_or_create(path, _spec(specs))
    missing = _missing(store, specs)
    with store:
        if missing:
            _append(store, missing, workers)
        store.finish()
    return store


def _append(store: Dataset, specs: list[EpisodeSpec], workers: int) -> None:
    job = partial(SpecRunner, _encoded)
    results = run_jobs(job, specs, workers, "collecting")
    episodes = cast(Generator[EncodedEpisode, None, None], results)
    with closing(episodes):  # ends the processes at once when the disk is full, say
        for episode in track(episodes, "collecting", total=len(specs)):
            store.append(episode)


def _encoded(episode: Episode) -> EncodedEpisode:
    return encode_episode(as_stored(episode))


def _spec(specs: Sequence[EpisodeSpec]) -> Spec:
    """What all episodes of a plan have; the time step must be equal for them."""
    if len({spec.render for spec in specs}) > 1:
        raise ForesightError(
            "The plan mixes render settings: a dataset has frames of one kind, make one for each."
        )
    found: dict[str, Spec] = {}
    for task, protocol in dict.fromkeys((spec.task, spec.protocol) for spec in specs):
        env = make(task, protocol, render=None)
        found[f"{task} ({protocol})"] = replace(env.interface, fps=1 / env.timestep)
        env.close()
    if len({spec.fps for spec in found.values()}) > 1:
        listed = ", ".join(f"{name} {1 / spec.fps:g} s" for name, spec in found.items())
        raise ForesightError(
            f"The plan mixes time steps ({listed}): make a dataset for each of them."
        )
    render, first = specs[0].render, next(iter(found.values()))
    return replace(
        first, cameras={} if render is None else {"camera": (render.height, render.width)}
    )


def _identity(info: Mapping[str, Any]) -> str:
    """What an episode was to be, whatever came of it."""
    return fingerprint({name: info.get(name) for name in PLANNED})


def _planned(spec: EpisodeSpec) -> dict[str, Any]:
    """What the info of a planned episode will say."""
    render = None if spec.render is None else asdict(spec.render)
    return {
        "environment": f"dmc/{spec.task}",
        "seed": spec.seed,
        "policy": spec.behaviour,
        "protocol": spec.protocol,
        "render": render,
        "steps": spec.steps,
    }


def _missing(store: Dataset, specs: Sequence[EpisodeSpec]) -> list[EpisodeSpec]:
    """The planned episodes that are not stored yet, in order."""
    stored = Counter(_identity(meta.info) for meta in store.metas)
    missing = []
    for spec in specs:
        name = _identity(_planned(spec))
        if stored[name]:
            stored[name] -= 1
        else:
            missing.append(spec)
    for meta in store.metas:
        if stored[_identity(meta.info)]:
            told = ", ".join(f"{name} {meta.info.get(name)}" for name in PLANNED)
            raise ForesightError(
                f"{store.path} holds episode {meta.index} ({told}), which is not in the plan: use "
                "the plan it was made with or choose another folder."
            )
    return missing
