"""A model with a learned state from a dataset: what learning by acting does, without acting."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import read_json, write_json
from foresight.core.metrics import read_metrics
from foresight.core.progress import track
from foresight.data.dataset import Dataset
from foresight.data.features import ACTION, REWARD
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import chosen_cameras
from foresight.perception.stream import FeatureStream
from foresight.training.experience import expect_actions, save_split, split_of
from foresight.training.learner import Learner
from foresight.training.learning_run import LearningRun
from foresight.training.new_model import AXES_PICTURES, fitted
from foresight.training.offline import (
    HorizonError,
    TrainConfig,
    Trained,
    expect_no_decoder,
    horizon_errors,
)
from foresight.training.replay import Replay
from foresight.training.run_data import (
    EXPERT,
    FeatureFiles,
    adapter_of,
    remember,
    without_pictures,
)
from foresight.worldmodel.actions import action_bounds
from foresight.worldmodel.config import (
    PREDICTION_ONLY,
    CameraInput,
    HeadsConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.heads.scalar import reward_range
from foresight.worldmodel.model import WorldModel

PIECE = 256
"""Steps whose whole tokens are held at once."""
ROUND = 500
"""Updates between two saved states."""
ERRORS = "horizon_errors.json"


class DatasetTrainer(LearningRun):
    """Learns a world model with a state adapter from the episodes of any robot; resumable.

    The folder gets the checkpoint, ``metrics.jsonl``, the state of an unfinished training, and
    ``cache/`` with what the model's axes keep of every picture. Losses and updates are those of
    `OnlineTrainer`. Held-out episodes are measured after every round.

    Where nobody gave rewards the model has none, and no values: what the episodes show is then
    taken for an expert's, and the action prior learns it.

    Args:
        dataset: of any robot, with actions.
        eyes: the encoder; whole tokens are read, whatever the readout.
        config: sizes, split and ``adapter``, how long to learn.
        folder: of the checkpoint.
        cameras: to see with; all if none is named.

    Raises:
        ForesightError: too few episodes, no actions or camera, nothing to learn a state from, or a
            folder of another training.
    """

    def __init__(
        self,
        dataset: Dataset,
        eyes: EncoderConfig,
        config: TrainConfig,
        folder: Path | str,
        cameras: Sequence[str] = (),
    ) -> None:
        expect_actions(dataset)
        expect_no_decoder(config.heads)
        self.dataset, self.eyes, self.config = dataset, eyes, config
        self.encoder, whole = replace(eyes, readout="tokens").load()
        self.stream = FeatureStream(self.encoder, whole)
        self.cameras = chosen_cameras(dataset, cameras, everything=True)
        self.seen, self.held_out = split_of(dataset.lengths, config.validation, config.fit.seed)
        # Rewards that are 0 throughout are how recorders say that there were none.
        self.rewarded = dataset.has(REWARD) and bool((dataset.column(REWARD) != 0).any())
        told = {"auto": not (self.rewarded or dataset.has(EXPERT)), "always": True, "never": False}
        self.imitates = told[config.adapter.imitate]
        if not (self.rewarded or self.imitates or dataset.has(EXPERT) or self._heads.proprio):
            raise ForesightError(
                f"{dataset.path} has no rewards and no state of the robot to learn from what "
                "pictures show: let the recorded actions teach it (--train.adapter.imitate always)."
            )
        super().__init__(
            Path(folder),
            replace(config, fit=replace(config.fit, device="cpu")),
            self.encoder,
            dataset=dataset.fingerprint,
            cameras=" ".join(self.cameras),
        )

    def run(self) -> WorldModel:
        """Learn what is not learned yet; leaves the checkpoint in the folder."""
        if not self._finished:
            self._open()
            self._begin()
            plan = self._plan()
            for number in track(range(self.rounds, len(plan)), "train"):
                with self._alone():
                    logs = self._round(*plan[number])
                self.rounds = number + 1
                self.log.write(self.rounds, **logs, **self.watch.numbers())
                self._save()
            write_json(self.checkpoint / ERRORS, self._errors())
            self._write_identity(finished=True)
        return WorldModel.load(self.checkpoint)

    def _plan(self) -> list[tuple[str, int, float]]:
        """What is learned in each round, how often, and at what rate."""
        config = self.config.adapter
        parts, plan = config.representation_phases + 1, list[tuple[str, int, float]]()
        for phase in range(parts):
            first = phase == 0
            count = config.representation_updates // (1 if first else 3)
            plan.append(("representation", count, 1.0 if first else 0.5))
            left = config.updates // parts
            plan += [("update", min(ROUND, left - done), 1.0) for done in range(0, left, ROUND)]
        return [*plan, ("finetune", config.finetune_updates, 1.0)]

    def _round(self, kind: str, count: int, rate: float) -> dict[str, float]:
        learner = self.learner
        if kind == "representation":
            with self.watch.stage(kind):
                logs = learner.learn_representation(self.replay, count, rate)
                learner.refresh(self.unseen)
        elif kind == "update":
            logs = self._update(self.replay, count)
        else:
            with self.watch.stage(kind):
                logs = learner.finetune_dynamics(self.replay, count)
        with self.watch.stage("measure"):
            return logs | learner.measure(self.unseen, 0)

    def _errors(self) -> list[HorizonError]:
        """Open-loop error on the held-out episodes, as far as half of them go."""
        held = self.unseen
        rows = [held.rows(i) for i in range(len(held))]
        pairs = [(held.states[row], held.actions[row]) for row in rows]
        longest = sorted(len(states) for states, _ in pairs)[(len(pairs) - 1) // 2] - 1
        model = self.model.cpu().eval()
        return horizon_errors(model, pairs, min(self.config.measure_horizon, longest))

    # --- the beginning -------------------------------------------------------------------------

    def _begin(self) -> None:
        """Build everything, or take it up."""
        if not (self.checkpoint / "config.json").exists():
            with self.watch.stage("look"):
                self._new_model()
        self.model = WorldModel.load(self.checkpoint)
        with self.watch.stage("look"):
            episodes = self._episodes()
            self.replay, self.unseen = (
                self._filled(which, episodes) for which in (self.seen, self.held_out)
            )
        self.model.to(self.config.fit.device).train()
        self.learner = Learner(self.model, self.config.adapter.learner, self.config.fit.seed)
        self._restore()
        for replay in (self.replay, self.unseen):
            self.learner.refresh(replay)
        self.log.rewind(self.rounds)

    def _new_model(self) -> None:
        """Fit axes and scales on pictures from all over the training episodes."""
        lengths = self.dataset.lengths
        several = max(1, sum(lengths[i] for i in self.seen) // AXES_PICTURES)
        chosen = self.seen[::several]
        every = max(1, sum(lengths[i] for i in chosen) // AXES_PICTURES)
        looked = [
            (episode, [part[::every].bfloat16() for part in parts])
            for episode in track(chosen, "look")
            for parts in self._tokens(episode)
        ]
        tokens = [torch.cat(one) for one in zip(*(parts for _, parts in looked), strict=True)]
        numbers = without_pictures(self.dataset)
        states = torch.cat([torch.from_numpy(numbers[i].state) for i in self.seen])
        torch.manual_seed(self.config.fit.seed)
        model = fitted(self._model_config(tokens), tokens, states)
        if every == 1:  # then whole episodes were looked at, and need not be once more
            for number, pieces in itertools.groupby(looked, lambda one: one[0]):
                self._keep(model, number, (parts for _, parts in pieces))
        save_split(self.checkpoint, self.seen, self.held_out)
        model.save(self.checkpoint)  # last: from here on a killed run resumes

    def _model_config(self, tokens: Sequence[Float[Tensor, "n p d"]]) -> WorldModelConfig:
        dataset, config = self.dataset, self.config
        spec, actions = dataset.spec, dataset.column(ACTION)
        low, high = action_bounds(spec, actions.reshape(-1, len(spec.action)))
        rewards = torch.from_numpy(dataset.column(REWARD).ravel()) if self.rewarded else None
        shapes = zip(self.cameras, (seen.shape[1:] for seen in tokens), strict=True)
        usual = DynamicsConfig()
        asked = {f.name: getattr(config.dynamics, f.name) for f in fields(usual)}
        asked = {name: value for name, value in asked.items() if value != getattr(usual, name)}
        sizes = {"kind": "simnorm", "members": 5, "hidden": 256, "layers": 2, **asked}
        return WorldModelConfig(
            task=dataset.tasks[0] if dataset.tasks else "",
            actions=len(low),
            action_low=low,
            action_high=high,
            cameras=tuple(CameraInput(name, *shape) for name, shape in shapes),
            state=config.state,
            dynamics=DynamicsConfig(**sizes),
            heads=self._heads,
            proprio=len(spec.state),
            discount=config.adapter.discount,
            rewards=None if rewards is None else reward_range(rewards, 1),
            encoder=self.eyes.encoder,
            encoder_fingerprint=self.encoder.fingerprint,
            dataset_fingerprint=dataset.fingerprint,
            spec=spec,
        )

    @property
    def _heads(self) -> HeadsConfig:
        """Those asked for, or all that the dataset can teach."""
        heads = self.config.heads
        if heads == PREDICTION_ONLY:
            ends = any(meta.terminated for meta in self.dataset.metas)
            heads = HeadsConfig(continuation=ends, proprio=len(self.dataset.spec.state))
        return heads if self.rewarded else replace(heads, reward="none", values=0)

    def _episodes(self) -> list[Episode]:
        """Of all the dataset, without pictures."""
        found = without_pictures(self.dataset)
        if not self.rewarded:
            found = [replace(each, reward=None) for each in found]
        if not self.imitates:
            return found
        return [replace(each, columns={EXPERT: each.action}) for each in found]

    def _filled(self, which: Sequence[int], episodes: Sequence[Episode]) -> Replay:
        """A replay of some episodes; what is seen in them is kept in the cache."""
        model, files = self.model, FeatureFiles(self.checkpoint, self.model)
        rows = sum(self.dataset.lengths[i] for i in which)
        sizes = model.features, model.config.actions, model.config.proprio, model.latent
        replay = Replay(rows, *sizes)
        for episode in track(which, "look"):
            found = files.read(episode) or self._keep(model, episode, self._tokens(episode))
            remember(replay, model, [episodes[episode]], found)
        return replay

    def _keep(
        self, model: WorldModel, episode: int, pieces: Iterable[Sequence[Tensor]]
    ) -> list[Float[Tensor, "t f"]]:
        """What a model's axes read off an episode's tokens, which is kept in the cache."""
        numbers = [adapter_of(model).compress(parts).bfloat16() for parts in pieces]
        FeatureFiles(self.checkpoint, model).write(episode, [torch.cat(numbers)])
        return [torch.cat(numbers)]

    @torch.no_grad()
    def _tokens(self, episode: int) -> Iterator[list[Float[Tensor, "t p d"]]]:
        """Tokens of an episode, of each camera, piece by piece."""
        length, dim = self.dataset.lengths[episode], self.encoder.dim
        edges = [*range(0, length, PIECE), length]
        for start, stop in itertools.pairwise(edges):
            past = min(start, self.stream.reach)
            clips = min(self.stream.default_batch, stop - start + past)  # none to fill a batch
            yield [
                torch.from_numpy(self.stream.episode(frames, clips)[past:]).unflatten(1, (-1, dim))
                for camera in self.cameras
                for frames in [self.dataset.frames(episode, camera, start - past, stop)]
            ]


def train_from_dataset(
    dataset: Dataset,
    eyes: EncoderConfig,
    config: TrainConfig,
    folder: Path | str,
    cameras: Sequence[str] = (),
) -> Trained:
    """Learn a world model with a state adapter; arguments and errors as of `DatasetTrainer`."""
    model = DatasetTrainer(dataset, eyes, config, folder, cameras).run()
    errors = [HorizonError(**entry) for entry in read_json(Path(folder) / ERRORS)]
    history = [
        {name: float(value) for name, value in line.items() if value is not None}
        for line in read_metrics(Path(folder) / "metrics.jsonl")
    ]
    return Trained(model, history, errors)
