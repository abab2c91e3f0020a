"""Run planned episodes into a dataset; a killed run resumes where it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import track
from foresight.data.encoded import EncodedEpisode, encoder
from foresight.data.store import EpisodeStore
from foresight.envs.dmc.environment import make
from foresight.rollout.episode import EpisodeSpec, SpecRunner
from foresight.rollout.pool import run_jobs


def collect(path: Path | str, specs: Sequence[EpisodeSpec], workers: int) -> EpisodeStore:
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
    timestep = _timestep(specs)
    store = EpisodeStore.open_or_create(path, control_timestep=timestep)
    missing = _missing(store, specs)
    with store:
        if missing:
            _append(store, missing, workers)
        store.finish()
    return store


def _append(store: EpisodeStore, specs: list[EpisodeSpec], workers: int) -> None:
    job = partial(SpecRunner, encoder(store.fps))
    results = run_jobs(job, specs, workers, "collecting")
    episodes = cast(Generator[EncodedEpisode, None, None], results)
    with closing(episodes):  # ends the processes at once when the disk is full, say
        for episode in track(episodes, "collecting", total=len(specs)):
            store.append(episode)


def _timestep(specs: Sequence[EpisodeSpec]) -> float:
    """Seconds between two decisions, equal for all specs."""
    if len({spec.render for spec in specs}) > 1:
        raise ForesightError(
            "The plan mixes render settings: a dataset has frames of one kind, make one for each."
        )
    found = {}
    for task, protocol in dict.fromkeys((spec.task, spec.protocol) for spec in specs):
        env = make(task, protocol, render=None)
        found[f"{task} ({protocol})"] = env.timestep
        env.close()
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{name} {step} s" for name, step in found.items())
        raise ForesightError(
            f"The plan mixes time steps ({listed}): make a dataset for each of them."
        )
    return next(iter(found.values()))


def _missing(store: EpisodeStore, specs: Sequence[EpisodeSpec]) -> list[EpisodeSpec]:
    """The planned episodes that are not stored yet, in order."""
    stored = Counter(meta.spec_hash for meta in store.metas)
    missing = []
    for spec in specs:
        name = fingerprint(spec)
        if stored[name]:
            stored[name] -= 1
        else:
            missing.append(spec)
    for meta in store.metas:
        if stored[meta.spec_hash]:
            raise ForesightError(
                f"{store.path} holds episode {meta.index} ({meta.task}, seed {meta.seed}, "
                f"{meta.behaviour}, {meta.protocol}, render {store.schema.render}), which is not "
                "in the plan: use the plan it was made with or choose another folder."
            )
    return missing
