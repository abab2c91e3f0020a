"""Demonstrations as a chunk policy learns from them: every step of them, late ones included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.data.windows import as_tensor, split_episodes
from foresight.policies.chunk.config import ChunkConfig
from foresight.rollout.recorder import ADVICE

Rows = Int64[Tensor, " B"]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Demonstrations:
    """Actions, states, tasks and features of all N steps of a dataset."""

    actions: Float[Tensor, "N A"]
    """What is to be done: what an expert said about the step, where one was asked, else what was
    done. So a disturbed demonstration teaches how to recover, and not the disturbance (DART, Laskey
    et al. 2017)."""
    states: Float[Tensor, "N S"]
    offsets: Int64[Tensor, " n"]
    """Rows ``offsets[i]:offsets[i + 1]`` are episode i."""
    task: Int64[Tensor, " E"]
    """Index into ``tasks`` of each episode."""
    tasks: tuple[str, ...]
    train: tuple[int, ...]
    held_out: tuple[int, ...]
    features: tuple[tuple[Tensor, ...], ...] = ()
    """`[N, F]` of each camera; the first tuple of the frames as they are, the others of changed
    copies."""

    @classmethod
    def load(
        cls,
        dataset: Dataset,
        copies: Sequence[Mapping[str, FeatureCache]],
        validation: float,
        seed: int,
    ) -> Demonstrations:
        """Join a dataset, of any robot, with its features; of every task some are held out.

        Raises:
            ForesightError: a cache is not finished, there are fewer than 2 episodes, or a number is
                not finite.
        """
        for cache in (cache for copy in copies for cache in copy.values()):
            if not cache.complete:
                raise ForesightError(
                    f"The feature cache holds {int(cache.done.sum())} of {len(cache.done)} "
                    "episodes: finish `foresight encode` first."
                )
        count = len(dataset)
        if count < 2:
            raise ForesightError(
                f"Training needs at least 2 episodes and {dataset.path} has {count}: record more."
            )
        texts = [dataset.task(i) for i in range(count)]
        tasks = tuple(dict.fromkeys(texts))
        task = torch.tensor([tasks.index(text) for text in texts])
        train, held_out = split_by_task(task, validation, seed)
        steps = int(dataset.offsets[-1])

        def numbers(name: str, finite: bool = True) -> Tensor:
            if not dataset.has(name):
                return torch.zeros(steps, 0)
            values = np.array(dataset.column(name, finite=finite), np.float32)
            return torch.from_numpy(values).reshape(steps, -1)

        return cls(
            wanted_actions(numbers("action"), numbers(ADVICE, finite=False)),
            numbers("observation.state"),
            torch.from_numpy(np.array(dataset.offsets)),
            task,
            tasks,
            train,
            held_out,
            tuple(
                tuple(as_tensor(cache.array).flatten(1) for cache in copy.values())
                for copy in copies
            ),
        )

    def rows(self, episodes: Sequence[int]) -> Rows:
        """All steps of episodes, in order."""
        bounds = self.offsets.tolist()
        return torch.cat([torch.arange(bounds[i], bounds[i + 1]) for i in episodes])

    def episode_of(self, rows: Rows) -> Rows:
        """The episode of each row."""
        return torch.searchsorted(self.offsets, rows.contiguous(), right=True) - 1

    def chunk_rows(self, rows: Rows, length: int) -> tuple[Tensor, Bool[Tensor, "B K"]]:
        """The next rows ``[B, K]`` of each, the last one repeated, and which are in the episode."""
        ends = self.offsets[self.episode_of(rows) + 1][:, None]
        ahead = rows[:, None] + torch.arange(length)
        return torch.minimum(ahead, ends - 1), ahead < ends

    def past_states(self, rows: Rows, history: int) -> Float[Tensor, "B H S"]:
        """The states up to each row, oldest first; the first one stands for what was before."""
        starts = self.offsets[self.episode_of(rows)][:, None]
        back = rows[:, None] + torch.arange(1 - history, 1)
        return self.states[torch.maximum(back, starts)]

    def inputs(
        self, rows: Rows, config: ChunkConfig, copy: Int64[Tensor, " B"], goals: Rows | None
    ) -> Batch:
        """What the network reads on these rows.

        Args:
            rows: of the present steps.
            config: of the policy.
            copy: which copy of the features, for each row.
            goals: rows whose pictures are the goals, where the policy has some.
        """
        batch: Batch = {"task": self.task[self.episode_of(rows)]}
        for index, camera in enumerate(config.cameras):
            shape = (len(rows), camera.patches, camera.dim)
            batch[f"tokens/{index}"] = self._features(index, rows, copy).view(shape)
            if goals is not None:
                plain = torch.zeros_like(goals)
                batch[f"goal/{index}"] = self._features(index, goals, plain).view(shape)
        if config.states:
            batch["state"] = self.past_states(rows, config.network.state_history)
        return batch

    def _features(self, camera: int, rows: Rows, copy: Tensor) -> Float[Tensor, "B F"]:
        if not int(copy.max()):
            return self.features[0][camera].index_select(0, rows)
        out = self.features[0][camera].new_empty(len(rows), self.features[0][camera].shape[1])
        for which in copy.unique().tolist():
            here = copy == which
            out[here] = self.features[which][camera].index_select(0, rows[here])
        return out

    def shown_by_task(self) -> list[list[int]]:
        """Training episodes of each task."""
        task = self.task.tolist()
        return [[e for e in self.train if task[e] == t] for t in range(len(self.tasks))]


class GoalDraw:
    """Draws the last step of another demonstration of the same task, for each row."""

    def __init__(self, data: Demonstrations) -> None:
        shown = [own or list(data.train) for own in data.shown_by_task()]
        self.data = data
        self.count = torch.tensor([len(own) for own in shown])
        self.table = torch.zeros(len(shown), max(map(len, shown)), dtype=torch.long)
        for task, own in enumerate(shown):
            self.table[task, : len(own)] = torch.tensor(own)

    def __call__(self, rows: Rows, generator: torch.Generator) -> Rows:
        """Rows of goals; a task's only demonstration is its own goal."""
        own = self.data.episode_of(rows)
        task = self.data.task[own]
        count = self.count[task]
        drawn = (torch.rand(len(rows), generator=generator) * count).long()
        same = self.table[task, drawn] == own
        drawn = torch.where(same, (drawn + 1) % count, drawn)
        return self.data.offsets[self.table[task, drawn] + 1] - 1


def wanted_actions(
    done: Float[Tensor, "N A"], advice: Float[Tensor, "N a"]
) -> Float[Tensor, "N A"]:
    """What is to be learned: what an expert said, where it was asked, else what was done."""
    if advice.shape != done.shape:
        return done
    return torch.where(advice.isfinite().all(1, keepdim=True), advice, done)


def split_by_task(
    task: Int64[Tensor, " E"], fraction: float, seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training and held-out episodes; of each task with two or more some are held out."""
    train: list[int] = []
    held_out: list[int] = []
    for which in task.unique().tolist():
        own = torch.where(task == which)[0].tolist()
        if len(own) < 2:
            train += own
            continue
        first, second = split_episodes(len(own), fraction, seed)
        train += [own[i] for i in first]
        held_out += [own[i] for i in second]
    if not held_out:  # every episode has a task of its own
        first, second = split_episodes(len(task), fraction, seed)
        return tuple(first), tuple(second)
    return tuple(sorted(train)), tuple(sorted(held_out))


def binary_actions(actions: Float[Tensor, "N A"]) -> tuple[int, ...]:
    """The numbers of an action that take exactly two values, such as a gripper's."""
    return tuple(i for i in range(actions.shape[1]) if len(actions[:, i].unique()) == 2)


def switches(actions: Float[Tensor, "N A"], offsets: Tensor, binary: Sequence[int]) -> Tensor:
    """Rows on which a binary number of the action differs from that of the step before."""
    if not binary:
        return torch.zeros(0, dtype=torch.long)
    gripper = actions[:, list(binary)]
    changed = torch.zeros(len(actions), dtype=torch.bool)
    changed[1:] = (gripper[1:] != gripper[:-1]).any(1)
    changed[offsets[:-1]] = False
    return torch.where(changed)[0]


def idle(data: Demonstrations) -> Bool[Tensor, " N"]:
    """Steps on which the robot repeats its action and its own numbers do not move."""
    starts = data.offsets[:-1]
    still = torch.ones(len(data.actions), dtype=torch.bool)
    for values in (data.actions, data.states):
        if values.shape[1]:
            reach = 1e-3 * values.std(0, correction=0) + 1e-9
            still[1:] &= ((values[1:] - values[:-1]).abs() <= reach).all(1)
    still[starts] = False
    return still
