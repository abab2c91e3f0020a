"""What ``foresight replay`` does: recorded actions in the simulator, beside what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import write_bytes, write_json
from foresight.core.progress import track
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.envs.factories import full_id
from foresight.envs.registry import EnvConfig
from foresight.evaluation.config import succeeded
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.experts.restored import Restored
from foresight.policies.replay import Given
from foresight.report.ground_truth import Replayed, write_replay_page
from foresight.report.videos import encode_mp4, side_by_side, upscale
from foresight.rollout import run_episodes
from foresight.rollout.recorder import ISSUED, TRUE_STATE

Start = Literal["seed", "state"]
STATE = "observation.state"
SIDE = 128
"""Least pixels of a camera's picture in a film."""


@dataclass(frozen=True)
class ReplayConfig:
    """Which episodes are replayed, and how they begin."""

    episodes: int = 3
    """How many, spread over those that were recorded in the environment."""
    start: Start = "seed"
    """seed: reset with the seed that is stored with the episode; state: put a simulator into the
    recorded sim.state after that."""


def replay_dataset(
    source: Path, out: Path, env: EnvConfig | None = None, config: ReplayConfig | None = None
) -> Result:
    """Execute the recorded actions of episodes from the same start, and compare what comes of it.

    It is the test that actions, rate and pictures of a dataset mean what one thinks.

    Args:
        source: the dataset.
        out: gets ``replay.html``, ``replay.json``, and of episode I ``replay-I.mp4`` (recorded and
            replayed, side by side) and ``replay-I.json`` (deviations of every step). Other files
            stay.
        env: where; that of each episode if it is not given or has no id. What it does not say of
            protocol, cameras, sizes and options is taken from the episode.
        config: which episodes.

    Returns:
        Rows, of each episode and what could be compared: ``state-deviation`` (largest absolute
        difference of the robot's own numbers, in their units), ``sim-state-deviation`` (of the
        simulator's state), ``picture-difference`` (largest mean absolute difference of a picture,
        of 255), ``length-difference`` (steps), ``success-agrees`` (1 or 0).

    Raises:
        ForesightError: no episode of the environment, no seed or state to begin with, or another
            robot or rate.
    """
    config = config or ReplayConfig()
    dataset = Dataset.open(source)
    chosen = _chosen(dataset, env, config)
    rows: list[Row] = []
    shown = []
    for index in track(chosen, "replay"):
        recorded = dataset.episode(index)
        where = recorded_env(dataset, index, env)
        again = replay_episode(recorded, where, dataset.spec, config.start)
        found = compare(index, recorded, again, succeeded(where, again))
        shown.append(found)
        rows += rows_of(found, where)
        film = _film(recorded, again)
        write_bytes(out / f"replay-{index}.mp4", encode_mp4(film, fps=min(recorded.fps, 50)))
        write_json(out / f"replay-{index}.json", {k: v.tolist() for k, v in found.by_time.items()})
    settings: dict[str, Any] = {"source": str(source), "env": env, "replay": config}
    result = make_result("replay", {**settings, "episodes": chosen}, "none", rows)
    result.save(out / "replay.json")
    write_replay_page(out / "replay.html", result, shown)
    return result


def recorded_env(dataset: Dataset, index: int, env: EnvConfig | None) -> EnvConfig:
    """Where an episode was recorded, as far as it says so.

    Raises:
        ForesightError: neither the episode nor ``env`` names an environment.
    """
    info = dataset.metas[index].info
    base = env or EnvConfig("")
    name = base.id or str(info.get("environment", ""))
    if not name:
        raise ForesightError(
            f"Episode {index} of {dataset.path} does not say where it was recorded: name the "
            "environment with --env."
        )
    sizes = set(dataset.spec.cameras.values())
    known: dict[str, Any] = {
        "protocol": info.get("protocol"),
        "cameras": tuple(dataset.spec.cameras) or None,
        "size": sizes.pop() if len(sizes) == 1 else None,
    }
    fit = {field.name: field.default for field in fields(EnvConfig) if field.name != "id"}
    known |= {k: v for k, v in dict(info.get("options") or {}).items() if k in fit}
    if not info.get("environment"):  # another program's: its environment has its own cameras
        known = {}
    open_ = {name: value for name, value in known.items() if getattr(base, name) == fit[name]}
    return replace(base, id=name, **open_)


def replay_episode(recorded: Episode, env: EnvConfig, spec: Spec, start: Start) -> Episode:
    """Execute the actions of an episode from its start; no further than it went.

    Where an environment delays actions, those that were asked for are asked for again.

    Raises:
        ForesightError: no seed, no state to begin with, or another robot or rate.
    """
    seed, state = recorded.info.get("seed"), recorded.columns.get(TRUE_STATE)
    if seed is None and start == "seed":
        raise ForesightError(
            "The episode does not say the seed of its start: record with `foresight collect`, or "
            "give --start state where the dataset has sim.state."
        )
    if state is None and start == "state":
        raise ForesightError(f"The episode has no {TRUE_STATE} to begin with: give --start seed.")
    begin = None if start == "seed" or state is None else Restored(tuple(map(float, state[0])))
    actions = np.array(recorded.columns.get(ISSUED, recorded.action), np.float32)
    (again,) = run_episodes(
        env,
        partial(_given, actions, spec),
        [int(seed or 0)],
        max_steps=len(actions),
        start=begin,
        label=f"replaying on {env.id}",
    )
    found: Episode = again
    return found


def _given(actions: np.ndarray, recorded: Spec, spec: Spec) -> Given:
    recorded.expect(spec, "The dataset", "the environment", ("action", "fps"))
    return Given(actions)


def compare(index: int, recorded: Episode, again: Episode, success: bool | None) -> Replayed:
    """Deviations of every step that both episodes have."""
    steps = min(len(recorded), len(again))
    by_time: dict[str, Float64[np.ndarray, " T"]] = {}
    states = recorded.state[:steps], again.state[:steps]
    if states[0].shape == states[1].shape and states[0].size:
        by_time["state-deviation"] = _largest(*states)
    if TRUE_STATE in recorded.columns and TRUE_STATE in again.columns:
        truths = [each.columns[TRUE_STATE][:steps] for each in (recorded, again)]
        by_time["sim-state-deviation"] = _largest(truths[0], truths[1])
    differences = [
        np.abs(frames[:steps].astype(np.int16) - again.images[name][:steps]).mean((1, 2, 3))
        for name, frames in recorded.images.items()
        if name in again.images and again.images[name].shape[1:] == frames.shape[1:]
    ]
    if differences:
        by_time["picture-difference"] = np.max(differences, axis=0)
    return Replayed(
        index,
        recorded.task,
        len(recorded),
        len(again),
        recorded.success,
        success,
        by_time,
    )


def _largest(one: np.ndarray, two: np.ndarray) -> Float64[np.ndarray, " T"]:
    gap: Float[np.ndarray, "T P"] = np.abs(one.astype(np.float64) - two)
    return np.asarray(gap.max(1))


def rows_of(found: Replayed, env: EnvConfig) -> list[Row]:
    """What was compared, as rows of a result."""
    values = {name: float(each.max()) for name, each in found.by_time.items()}
    values["length-difference"] = float(found.replayed - found.recorded)
    if found.success is not None and found.success_again is not None:
        values["success-agrees"] = float(found.success == found.success_again)
    task = full_id(env.id).replace("/", ":")
    return [
        {"measure": name, "task": task, "value": value, "episode": found.episode}
        for name, value in values.items()
    ]


def _chosen(dataset: Dataset, env: EnvConfig | None, config: ReplayConfig) -> list[int]:
    """Episodes of the environment, evenly spread; those that do not say where count as well."""
    if config.episodes < 1:
        raise ForesightError(f"{config.episodes} episodes were asked for: replay at least 1.")
    everywhere = env is None or not env.id
    own = [
        i
        for i, meta in enumerate(dataset.metas)
        if everywhere
        or full_id(str(meta.info.get("environment", env.id if env else ""))) == _full(env)
    ]
    if not own:
        places = sorted({str(meta.info.get("environment")) for meta in dataset.metas})
        raise ForesightError(
            f"{dataset.path} has no episode of {env.id if env else 'any environment'}: it was "
            f"recorded in {', '.join(places[:5]) or 'none'}."
        )
    count = min(config.episodes, len(own))
    return [own[i * len(own) // count] for i in range(count)]


def _full(env: EnvConfig | None) -> str:
    return full_id(env.id) if env is not None else ""


def _film(recorded: Episode, again: Episode) -> np.ndarray:
    """Of each camera the recorded picture and the replayed one; all that either has."""
    clips: Sequence[np.ndarray] = [
        upscale(frames, SIDE)
        for name in dict.fromkeys([*recorded.images, *again.images])
        for each in (recorded, again)
        if (frames := each.images.get(name)) is not None
    ]
    return side_by_side(clips)
