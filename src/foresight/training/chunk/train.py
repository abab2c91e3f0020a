"""Train an action-chunk policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint, read_json, write_json
from foresight.policies.chunk.config import ChunkConfig, NetworkConfig, Preset
from foresight.policies.chunk.network import ChunkNetwork
from foresight.policies.chunk.policy import save_network
from foresight.training.batches import epoch_rows, seed_of
from foresight.training.chunk.demonstrations import (
    Demonstrations,
    GoalDraw,
    idle,
    switches,
)
from foresight.training.chunk.errors import Errors, held_out_errors
from foresight.training.loop import Batch, FitConfig, Record, fit, products

ERRORS = "held-out.json"
FIT_NUMBERS = 2**26
"""Numbers of features from which their statistics are learned."""
GOALS = 4
"""Goals kept in the checkpoint for each task."""


@dataclass(frozen=True)
class Augmentation:
    """How the demonstrations are varied and weighed; nothing of it happens on held-out ones."""

    noise: float = 0.0
    """Norm of noise on the visual tokens, in norms of a typical token."""
    state_noise: float = 0.0
    """Noise on the robot's own numbers, in their deviations."""
    shifts: int = 0
    """Copies of the dataset with shifted pictures, each encoded and cached once."""
    shift_pixels: int = 4
    """Farthest shift, in pixels of the encoder's picture."""
    still: float = 0.0
    """Share of samples whose clip is the present frame repeated, as when an episode begins; encoded
    and cached once."""
    drop_idle: bool = False
    """Leave out steps on which nothing moves."""
    oversample: int = 1
    """How often a step before a switch of the gripper is seen, for once that others are."""
    jitter: int = 5
    """Steps by which an oversampled step is moved at most, to either side."""
    start_weight: float = 1.0
    """Weight of the first actions of a chunk."""
    start_steps: int = 10
    """How many actions are the first ones."""
    gripper_weight: float = 1.0
    """Weight of binary numbers of an action."""
    switch_weight: float = 1.0
    """Weight of binary numbers within two steps of a switch."""
    drop_late: bool = False
    """Leave out steps whose chunk reaches beyond the episode's end, a mistake to be measured."""


FULL_AUGMENTATION = Augmentation(
    noise=0.05, oversample=5, jitter=5, start_weight=3.0, gripper_weight=2.0, switch_weight=5.0
)


@dataclass(frozen=True)
class ChunkTraining:
    """How an action-chunk policy is trained."""

    preset: Preset = "small"
    """small: for two cores; source-head: 64 video, 64 goal and 4 state tokens, 512 wide, 50
    actions, with its augmentation. Sizes given under `network` replace those of the preset."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augment: Augmentation = field(default_factory=Augmentation)
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=20,
            updates=4000,
            batch=64,
            lr=5e-4,
            clip=1.0,
            warmup=200,
            ema=0.999,
            dtype="auto",
        )
    )
    validation: float = 0.1
    """Share of each task's episodes held out."""
    keep: Literal["last", "best"] = "last"
    """last: the weights at the end; best: at the lowest held-out error, which says little about
    success in closed loop."""
    rotations: tuple[int, ...] = ()
    """Where axis-angle triples begin in the state; they are made canonical."""
    task_vectors: Path | None = None
    """JSON file with a text encoder's vector for each task, in place of learned embeddings."""


Prepare = Callable[[ChunkNetwork, Demonstrations, ChunkTraining], None]


def train_chunk_policy(
    data: Demonstrations,
    config: ChunkConfig,
    training: ChunkTraining,
    folder: Path | str,
    prepare: Prepare | None = None,
) -> tuple[ChunkNetwork, Errors]:
    """Fit a network to chunks of shown actions; resumable.

    Args:
        data: of one robot, with features of the cameras that ``config`` names.
        config: of the policy.
        training: how.
        folder: gets the checkpoint, ``held-out.json`` and the state of the training.
        prepare: puts what the demonstrations tell into the new network; `prepare_network` if not
            given.

    Returns:
        The network, and its errors on held-out episodes beside those of baselines.

    Raises:
        ForesightError: another training's folder, a loss that is not finite, or task vectors that
            do not fit.
    """
    folder = Path(folder)
    torch.manual_seed(training.fit.seed)
    network = ChunkNetwork(config)
    (prepare or prepare_network)(network, data, training)
    augment, net = training.augment, config.network
    network.noise, network.state_noise = augment.noise, augment.state_noise
    sampler = Sampler(data, config, training)
    rows = data.rows(data.held_out)
    rows = rows[:: math.ceil(len(rows) / 1024)]
    held_out = sampler.batch(rows, torch.Generator().manual_seed(0), varied=False)
    held_out = {name: value.to(training.fit.device) for name, value in held_out.items()}

    def validate() -> Record:
        with torch.random.fork_rng(), products(training.fit):
            torch.manual_seed(0)  # times and noise of flow matching: the same at every check
            return {"validation/loss": network(held_out)[1]["loss"]}

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        return network(batch)

    steps = training.fit.steps_per_epoch(math.ceil(len(sampler.pool) / training.fit.batch))
    identity = {
        "training": replace(training, fit=replace(training.fit, device="cpu"), task_vectors=None),
        "policy": replace(config, spec=None),
        "vectors": network.task_vectors if net.task and config.task_width else None,
    }
    fit(
        network,
        lambda epoch: sampler.epoch(epoch, steps),
        steps,
        loss,
        validate,
        training.fit,
        folder,
        fingerprint(identity),
        select="validation/loss" if training.keep == "best" else None,
    )
    save_network(network, folder)
    errors = held_out_errors(network, data)
    write_json(folder / ERRORS, errors)
    return network, errors


def prepare_network(network: ChunkNetwork, data: Demonstrations, training: ChunkTraining) -> None:
    """Put statistics, goals and task vectors of the demonstrations into a new network."""
    config, generator = network.config, torch.Generator().manual_seed(training.fit.seed)
    rows = data.rows(data.train)
    states = data.states if config.states else data.states[:, :0]
    network.normaliser.fit_numbers(states[rows], data.actions[rows])
    for index, camera in enumerate(config.cameras):
        width = camera.patches * camera.dim
        some = rows[torch.randperm(len(rows), generator=generator)[: max(64, FIT_NUMBERS // width)]]
        features = data.features[0][index].index_select(0, some.sort().values).float()
        network.normaliser.fit_tokens(index, features.view(-1, camera.patches, camera.dim))
        if config.network.goal:
            last = torch.stack([_goal_rows(data, own) for own in data.shown_by_task()])
            stored = network.get_buffer(f"goals_{index}")
            shape = stored.shape
            last = last[: shape[0], : shape[1]]
            found = data.features[0][index].index_select(0, last.flatten())
            stored.copy_(found.view(shape))
    if config.task_width and training.task_vectors is not None:
        network.task_vectors.copy_(read_task_vectors(training.task_vectors, config.tasks))


def _goal_rows(data: Demonstrations, episodes: list[int]) -> Tensor:
    """Last rows of the first demonstrations of a task, repeated where there are fewer."""
    own = episodes or list(data.train)
    return torch.stack([data.offsets[own[i % len(own)] + 1] - 1 for i in range(GOALS)])


def read_task_vectors(path: Path, tasks: tuple[str, ...]) -> Float[Tensor, "n v"]:
    """The vectors of tasks, from a JSON object of texts to lists of numbers.

    Raises:
        ForesightError: a task has none, or they differ in length.
    """
    raw = read_json(path)
    missing = [text for text in tasks if not isinstance(raw, dict) or text not in raw]
    if missing:
        raise ForesightError(
            f"{path} has no vector for the task {missing[0]!r}: give a JSON object with a list of "
            "numbers for each task of the dataset."
        )
    try:
        return torch.tensor([raw[text] for text in tasks], dtype=torch.float32)
    except (ValueError, TypeError) as error:
        raise ForesightError(
            f"The vectors in {path} are not lists of numbers of one length ({error}): make them "
            "with one text encoder."
        ) from error


class Sampler:
    """Batches of an epoch; they depend on the seed and the epoch's number alone."""

    def __init__(self, data: Demonstrations, config: ChunkConfig, training: ChunkTraining) -> None:
        self.data, self.config, self.training = data, config, training
        self.goals = GoalDraw(data) if config.network.goal else None
        augment = training.augment
        rows = data.rows(data.train)
        if augment.drop_idle:
            rows = rows[~idle(data)[rows]]
        if augment.drop_late:
            rows = rows[data.chunk_rows(rows, config.network.chunk)[1].all(1)]
        if not len(rows):
            raise ForesightError(
                "No step is left to learn from: leave drop_idle and drop_late out."
            )
        self.switches = switches(data.actions, data.offsets, config.binary)
        again = self.switches[torch.isin(self.switches, rows)].repeat(augment.oversample - 1)
        self.pool = torch.cat([rows, again])
        self._plain = len(rows)
        near = torch.zeros(len(data.actions), dtype=torch.bool)
        for by in range(-2, 3):
            near[(self.switches + by).clamp(0, len(near) - 1)] = True
        self._near = near

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """``steps`` batches."""
        seed = seed_of(self.training.fit.seed, epoch)
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout and noise: a resumed training draws the same
        pieces = epoch_rows(self.pool, self.training.fit.batch, generator)
        for _ in range(steps):
            places = next(pieces)
            yield self.batch(self._jittered(places, generator), generator)

    def _jittered(self, places: Tensor, generator: torch.Generator) -> Tensor:
        """Rows of places in the pool; those that are there again move within their episode."""
        rows = self.pool[places]
        most = self.training.augment.jitter
        by = torch.randint(-most, most + 1, (len(rows),), generator=generator)
        episode = self.data.episode_of(rows)
        low, high = self.data.offsets[episode], self.data.offsets[episode + 1] - 1
        moved = torch.minimum(torch.maximum(rows + by, low), high)
        return torch.where(places >= self._plain, moved, rows)

    def batch(self, rows: Tensor, generator: torch.Generator, varied: bool = True) -> Batch:
        """Inputs, chunks and weights of rows."""
        augment, copy = self.training.augment, torch.zeros_like(rows)
        if varied and len(self.data.features) > 1:
            copy = torch.randint(1 + augment.shifts, (len(rows),), generator=generator)
            if augment.still:
                still = torch.rand(len(rows), generator=generator) < augment.still
                copy[still] = len(self.data.features) - 1
        goals = None if self.goals is None else self.goals(rows, generator)
        batch = self.data.inputs(rows, self.config, copy, goals)
        ahead, valid = self.data.chunk_rows(rows, self.config.network.chunk)
        weight = torch.ones(*ahead.shape, self.config.actions)
        if varied:
            weight[:, : augment.start_steps] *= augment.start_weight
            binary = list(self.config.binary)
            weight[..., binary] *= augment.gripper_weight
            near = torch.where(self._near[ahead], augment.switch_weight, 1.0)
            weight[..., binary] *= near[..., None]
        return {**batch, "action": self.data.actions[ahead], "valid": valid, "weight": weight}
