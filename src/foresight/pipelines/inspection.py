"""What ``foresight inspect`` does with a dataset: a policy along held-out episodes, on paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, read_json, write_bytes, write_json, write_text
from foresight.core.progress import track
from foresight.data.dataset import Dataset
from foresight.diagnostics.chunks import Along, Gaze, chunk_errors, executed, follow, gaze_of
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.policies.chunk.policy import ChunkActing, ChunkPolicy
from foresight.report.chunks import chunk_panels, contact_sheet, gaze_film
from foresight.report.inspection import EpisodeShown, write_demonstrations_page
from foresight.report.plots import standalone
from foresight.report.videos import encode_mp4
from foresight.training.chunk.train import ERRORS

SLOWEST, FASTEST = 1.0, 10.0
"""Frames a second of a film in which every step is to be seen."""


def inspect_demonstrations(
    folder: Path,
    source: Path,
    out: Path,
    episodes: int = 3,
    acting: ChunkActing | None = None,
    by: Gaze | None = None,
    device: str = "cpu",
) -> Result:
    """Plot what a policy decides along held-out episodes and film where it looks.

    Args:
        folder: of a policy of action chunks.
        source: dataset of the same robot: what the policy was trained on, of which its held-out
            episodes are taken, or another.
        out: gets ``demonstrations.html`` and ``demonstrations.json``, and of episode I
            ``episode-I.svg`` (plot), ``gaze-I.mp4`` and ``.png`` (film and some of its
            frames), ``episode-I.json`` (numbers of every step). Other files stay.
        episodes: how many, spread over those there are.
        acting: how many actions of a chunk are executed, for the plots.
        by: what says where the policy looks, ``attention`` or ``occlusion``; attention where the
            network has it, if not given.
        device: where the networks run.

    Returns:
        Rows ``action-error``: mean absolute error of the actions that would be executed, in the
        episode's deviations, of the policy, of ``blind`` and ``nearest replay``; and
        ``attention-PART`` (or ``occlusion-PART``): the mean share of a part of the context.

    Raises:
        ForesightError: no policy of chunks, a dataset that does not fit, or fewer than 1 episode.
    """
    if episodes < 1:
        raise ForesightError(f"{episodes} episodes were asked for: inspect at least 1.")
    policy = ChunkPolicy.load(folder, acting or ChunkActing(), device)
    dataset = Dataset.open(source)
    expect_actions(policy, dataset)
    held_out, shown = held_out_of(policy, folder, dataset)
    chosen = [held_out[i * len(held_out) // episodes] for i in range(min(episodes, len(held_out)))]
    if len(held_out) <= episodes:
        chosen = list(held_out)
    names = [axis.name for axis in dataset.spec.action]
    rows: list[Row] = []
    pages = []
    for episode in track(chosen, "inspect"):
        along = follow(policy, dataset, episode, shown, by)
        pages.append(write_episode(along, names, policy.execute, dataset.spec.fps, out))
        rows += rows_of(along, policy.execute)
    config = {
        "checkpoint": str(folder),
        "source": str(source),
        "episodes": chosen,
        "held_out": list(held_out) != list(range(len(dataset))),
        "execute": policy.execute,
        "by": by or gaze_of(policy),
    }
    result = make_result("inspection", config, "none", rows)
    result.save(out / "demonstrations.json")
    write_demonstrations_page(out / "demonstrations.html", result, pages)
    return result


def held_out_of(
    policy: ChunkPolicy, folder: Path, dataset: Dataset
) -> tuple[Sequence[int], Sequence[int]]:
    """Episodes to inspect, and those from which the nearest replay is chosen.

    Of the dataset that the policy was trained on, what was held out and the others; of any other
    dataset, all and all.

    Raises:
        ForesightError: the checkpoint does not say what it held out.
    """
    everything = range(len(dataset))
    if dataset.fingerprint != policy.config.dataset_fingerprint:
        return everything, everything
    if not (folder / ERRORS).exists():
        raise ForesightError(
            f"{folder} has no {ERRORS}, which says what episodes of {dataset.path} its training "
            "held out: copy it there, or give another dataset."
        )
    held_out = [int(i) for i in read_json(folder / ERRORS)["episodes"]]
    return held_out, [i for i in everything if i not in set(held_out)]


def expect_actions(policy: ChunkPolicy, dataset: Dataset) -> None:
    """Refuse demonstrations of another robot.

    Raises:
        ForesightError: another number of actions, or a camera that is missing.
    """
    config = policy.config
    if len(dataset.spec.action) != config.actions:
        raise ForesightError(
            f"{dataset.path} has {len(dataset.spec.action)} numbers of action and the policy "
            f"decides {config.actions}: give demonstrations of the robot it was trained for."
        )
    for name in policy.cameras:
        if name not in dataset.spec.cameras:
            raise ForesightError(
                f"{dataset.path} has no camera {name!r}, which the policy sees with; it has "
                f"{', '.join(dataset.spec.cameras) or 'none'}."
            )


def write_episode(
    along: Along, names: Sequence[str], execute: int, fps: float, out: Path
) -> EpisodeShown:
    """Write plot, film, frames and numbers of one episode; what its page needs of them."""
    number = along.episode
    plot = chunk_panels(along, names, execute)
    film = gaze_film(along)
    mp4 = encode_mp4(film, fps=min(max(fps / 4, SLOWEST), FASTEST))
    write_text(out / f"episode-{number}.svg", standalone(plot))
    write_bytes(out / f"gaze-{number}.mp4", mp4)
    sheet = contact_sheet(film)
    atomic_write(out / f"gaze-{number}.png", lambda path: sheet.save(path, "PNG"))
    write_json(out / f"episode-{number}.json", numbers_of(along, names, execute))
    shares = {name: float(values.mean()) for name, values in along.shares.items()}
    return EpisodeShown(number, along.task, along.replayed, plot, mp4, shares)


def numbers_of(along: Along, names: Sequence[str], execute: int) -> dict[str, Any]:
    """Everything that is drawn, as JSON: actions ``[T][A]``, shares ``[T]``."""
    actions = {"shown": along.shown, "policy": executed(along.chunks, execute)}
    if along.blind is not None:
        actions["blind"] = executed(along.blind, execute)
    actions["nearest replay"] = along.replay
    return {
        "episode": along.episode,
        "task": along.task,
        "replayed": along.replayed,
        "execute": execute,
        "names": list(names),
        "actions": {name: values.tolist() for name, values in actions.items()},
        along.by: {name: values.tolist() for name, values in along.shares.items()},
        "maps": {name: values.mean(0).tolist() for name, values in along.maps.items()},
    }


def rows_of(along: Along, execute: int) -> list[Row]:
    """Errors and shares of one episode."""
    task = along.task.replace("/", " ") or "none"
    rows: list[Row] = []
    for name, error in chunk_errors(along, execute).items():
        condition = None if name == "policy" else name
        row = {"measure": "action-error", "task": task, "condition": condition, "value": error}
        rows.append({**row, "episode": along.episode})
    for name, values in along.shares.items():
        measure = f"{along.by}-" + name.replace("/", "-")
        row = {"measure": measure, "task": task, "value": float(values.mean())}
        rows.append({**row, "episode": along.episode})
    return rows
