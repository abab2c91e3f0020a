"""Evaluate an agent beside its baselines on the same seeds; nothing finished is run twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np

from foresight.core.files import file_fingerprint
from foresight.envs.render import RenderSettings
from foresight.evaluation.baselines import TRAINING_SEEDS, RowBook, paired_baselines
from foresight.evaluation.episodes import Agent, Start, agent_hash, evaluate_agent
from foresight.evaluation.statistics import Row
from foresight.perception.encoder import load_encoder


class Factory(Protocol):
    """Makes an agent; a picklable dataclass of all its settings.

    One that acts with learned weights has a ``checkpoint``, the folder of ``model.safetensors``.
    """

    def __call__(self) -> Agent:
        """Load and build the agent."""
        ...


def settings_of(factory: Factory) -> dict[str, object]:
    """A factory's settings, as they enter the config hash of its rows.

    A setting that came later says ``default_in_hash`` = False in its metadata and counts only where
    it is not the default: so rows that were finished before it existed stay valid.
    """
    return {
        each.name: value
        for each in fields(factory)  # type: ignore[arg-type]
        if (value := getattr(factory, each.name)) != each.default
        or each.metadata.get("default_in_hash", True)
    }


def camera(encoder: str) -> RenderSettings:
    """How demonstrations and episodes are seen."""
    return RenderSettings(size=load_encoder(encoder).image_size, quality="smooth")


@dataclass(frozen=True)
class Trial:
    """The episodes on which conditions are compared."""

    task: str
    seeds: tuple[int, ...]
    protocol: str = "seed200"
    steps: int | None = None
    """Cut episodes short; for trial runs only."""
    workers: int = 1


@dataclass
class Assessment:
    """What came of it."""

    rows: list[Row] = field(default_factory=list)
    films: dict[int, np.ndarray] = field(default_factory=dict)
    """Frames uint8 `[T, H, W, 3]` of the filmed seeds."""


def assess_agent(
    trial: Trial,
    condition: str,
    factory: Factory,
    render: RenderSettings,
    book: RowBook,
    film: Sequence[int] = (),
    start: Start | None = None,
    data: str | None = None,
) -> Assessment:
    """Rows of an agent; those that ``book`` holds already are not run again.

    The weights and every setting enter the rows' config hash, so rows of an older model are never
    taken for this one's. Filmed seeds run again if their film is not at hand.

    Args:
        trial: task, seeds and protocol.
        condition: name of the agent in tables.
        factory: makes it.
        render: what it sees.
        book: finished rows.
        film: seeds to be filmed.
        start: begins each episode, if not as the seed has it.
        data: fingerprint of what else decides the result, such as demonstrations.
    """
    config: dict[str, object] = {"factory": settings_of(factory)}
    checkpoint = getattr(factory, "checkpoint", None)
    if checkpoint is not None:
        config["weights"] = file_fingerprint(f"{checkpoint}/model.safetensors")
    if data is not None:
        config["data"] = data
    digest = agent_hash(trial.task, trial.protocol, render, trial.steps, config, start)

    def finished(seed: int) -> Row | None:
        return book.find(trial.task, condition, seed, digest)

    missing = [seed for seed in trial.seeds if finished(seed) is None or seed in film]
    known = {seed for seed in missing if finished(seed) is not None}

    def keep(row: Row) -> None:
        if row["seed"] not in known:
            book.add(row)

    films: dict[int, np.ndarray] = {}
    if missing:
        evaluation = evaluate_agent(
            factory,
            trial.task,
            missing,
            trial.protocol,
            render,
            condition,
            min(trial.workers, len(missing)),
            film=[seed for seed in film if seed in trial.seeds],
            config=config,
            steps=trial.steps,
            start=start,
            on_row=keep,
        )
        films = evaluation.films
    rows = [row for seed in trial.seeds if (row := finished(seed)) is not None]
    return Assessment(rows, films)


def assess_baselines(trial: Trial, conditions: Sequence[str], book: RowBook) -> list[Row]:
    """Rows of zero, random, the best constant action, expert and oracle."""
    training: dict = {} if trial.steps is None else {"training_seeds": TRAINING_SEEDS[:1]}
    return paired_baselines(
        trial.task,
        trial.seeds,
        trial.protocol,
        conditions,
        trial.workers,
        book=book,
        steps=trial.steps,
        **training,
    )
