"""What ``foresight inspect --env`` does: all trials of a policy on a page, its failures first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from foresight.core.checkpoint import read_header
from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import write_bytes
from foresight.envs.registry import EnvConfig
from foresight.evaluation.config import expect_seeds, protocol_name, task_name
from foresight.evaluation.episodes import episode_row, stamp_of
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, paired_difference
from foresight.pipelines.acting import policy_of
from foresight.policies.chunk.config import ChunkConfig
from foresight.policies.chunk.policy import TYPE as CHUNKS
from foresight.policies.chunk.policy import ChunkActing
from foresight.report.trials import write_trials_page
from foresight.report.videos import encode_mp4, side_by_side, upscale
from foresight.rollout import run_episodes

SIDE = 128
"""Least pixels of a camera's picture in a film."""


def inspect_trials(
    folder: Path,
    env: EnvConfig,
    out: Path,
    seeds: Sequence[int] = tuple(range(10)),
    acting: ChunkActing | None = None,
    device: str = "cpu",
    max_steps: int | None = None,
    workers: int = 1,
) -> Result:
    """Let a policy act, with eyes, blind and with its cameras exchanged, and film every episode.

    Args:
        folder: of a policy of action chunks.
        env: where it acts; its cameras and their sizes are the policy's.
        out: gets ``trials.html``, ``trials.json`` and ``films/CONDITION-SEED.mp4``, which belong to
            the page. Other files stay.
        seeds: of the episodes; all conditions have the same.
        acting: how chunks become actions.
        device: where the networks run.
        max_steps: cut episodes short.
        workers: processes.

    Returns:
        Episode rows of ``policy``, ``blind`` and ``shuffled`` (see `conditions_of`), and in the
        summary of the latter two ``CONDITION:success-lost/TASK``: the success rate of the policy
        minus theirs, paired by seed, with its bootstrap interval, where somebody can tell.

    Raises:
        ForesightError: no policy of chunks, one that does not fit the environment, or seeds that
            are none.
    """
    expect_seeds(tuple(seeds))
    header = read_header(folder, CHUNKS)
    rows: list[Row] = []
    for condition, how in conditions_of(ChunkConfig.from_header(header), acting).items():
        found = policy_of(str(folder), env, device=device, chunk=how)
        stamp = stamp_of(found.env, found.maker, max_steps)
        finish = partial(_filmed, found.env, condition, stamp, out / "films")
        label = f"{condition} on {task_name(found.env)}"
        rows += run_episodes(
            found.env,
            found.maker,
            seeds,
            workers=workers,
            max_steps=max_steps,
            finish=finish,
            label=label,
        )
    settings: dict[str, Any] = {
        "checkpoint": str(folder),
        "env": env,
        "seeds": list(seeds),
        "acting": acting or ChunkActing(),
        "max_steps": max_steps,
    }
    result = make_result("trials", settings, protocol_name(found.env), rows, success_lost(rows))
    result.save(out / "trials.json")
    write_trials_page(out / "trials.html", result)
    return result


def conditions_of(config: ChunkConfig, acting: ChunkActing | None) -> dict[str, ChunkActing]:
    """The policy and what it is compared with, as far as they differ from it.

    ``blind``: visual tokens are zero; not of a policy that learned so. ``shuffled``: each camera
    has the tokens of the next; of several cameras with equal tokens.
    """
    acting = acting or ChunkActing()
    if acting.blind or acting.shuffle:
        raise ForesightError(
            "The policy is compared with itself blind and with its cameras exchanged: leave "
            "blind and shuffle out."
        )
    found = {"policy": acting}
    if not config.network.blind:
        found["blind"] = replace(acting, blind=True)
        shapes = {(camera.patches, camera.dim) for camera in config.cameras}
        if len(config.cameras) > 1 and len(shapes) == 1:
            found["shuffled"] = replace(acting, shuffle=True)
    return found


def success_lost(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Success of the policy minus that of each rival on the same seeds, where somebody can tell."""
    by: dict[str, dict[int, Row]] = {}
    for row in rows:
        by.setdefault(row["condition"], {})[row["seed"]] = row
    mine, found = by["policy"], {}
    for condition, theirs in by.items():
        told = [s for s in mine if "success" in mine[s] and "success" in theirs.get(s, {})]
        if condition != "policy" and told:
            ours, others = ([float(each[s]["success"]) for s in told] for each in (mine, theirs))
            key = f"{condition}:success-lost/{mine[told[0]]['task']}"
            found[key] = paired_difference(ours, others).as_dict()
    return found


def _filmed(env: EnvConfig, condition: str, stamp: Row, films: Path, episode: Episode) -> Row:
    """The row of an episode; its film is written where the episode was run."""
    row, _ = episode_row(env, condition, stamp, episode)
    mp4 = encode_mp4(cameras_film(episode.images), fps=min(max(episode.fps, 1.0), 50.0))
    write_bytes(films / f"{condition}-{row['seed']}.mp4", mp4)
    return row


def cameras_film(images: Any) -> UInt8[np.ndarray, "T h w 3"]:
    """All cameras of an episode side by side."""
    return side_by_side([upscale(frames, SIDE) for frames in images.values()])
