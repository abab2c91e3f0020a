"""The loop of the reduced Dreamer: live an episode, learn from all of them, again; resumable."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write
from foresight.core.progress import track
from foresight.core.training_state import save_training
from foresight.envs.registry import limit_of
from foresight.policies.reduced import RANDOM, ReducedPolicy
from foresight.rollout.vector import VectorRollout
from foresight.training.learning_run import STATE, TrainingRun
from foresight.training.reduced_dreamer.config import DreamerTraining
from foresight.training.reduced_dreamer.learner import DreamerLearner
from foresight.training.replay import Replay
from foresight.worldmodel.actions import normalised
from foresight.worldmodel.rssm.agent import ReducedDreamer, config_of

EPISODES = "episodes"
"""Folder of what was lived: a file for each round."""

Lived = dict[str, Tensor]


class DreamerTrainer(TrainingRun):
    """Learns in an environment; the folder holds the checkpoint, the episodes and the log.

    A run that was killed at whatever moment goes on and ends as it would have.

    Args:
        config: what to learn.
        folder: of the run.

    Raises:
        ForesightError: an unknown environment or encoder, or a folder of another run.
    """

    def __init__(self, config: DreamerTraining, folder: Path | str) -> None:
        self.config = config
        self.senses = config.senses()
        senses = self.senses.fingerprint
        super().__init__(Path(folder), config, torch.device("cpu"), senses=senses)

    def run(self) -> ReducedDreamer:
        """Learn until the decisions are spent; leaves the checkpoint in the folder.

        Raises:
            ForesightError: what the environment has to say, or `DreamerLearner.update`.
        """
        if not self._finished:
            self._open()
            env = self.senses.environment(self.config.env)
            rollout = VectorRollout(env, self.config.parallel, images=False, watch=self.watch)
            with closing(rollout), self._alone():
                self.rollout = rollout
                self._begin()
                bar = iter(track(range(self.config.decisions), f"{env.id}: reduced Dreamer"))
                while self.replay.decisions < self.config.decisions:
                    before = self.replay.decisions
                    self._round(self.rounds)
                    for _ in range(self.replay.decisions - before):
                        next(bar, None)
            self._save()
            self._write_identity(finished=True)
        return ReducedDreamer.load(self.checkpoint)

    def _begin(self) -> None:
        """Build everything, or take up what an earlier run left."""
        config, spec = self.config, self.rollout.spec
        robot = self.senses.robot(spec)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = ReducedDreamer(config_of(robot, config.sizes))
        self.learner = DreamerLearner(self.model, config.learner, config.seed)
        limit = limit_of(self.rollout.envs[0])
        if limit is None:
            raise ForesightError(
                f"Episodes of {config.env.id} have no end that is known: give a time limit."
            )
        capacity = config.decisions + config.parallel * limit
        self.replay = Replay(capacity, 0, robot.actions, robot.inputs)
        state = self._state()
        if state is not None:
            learner = self.learner
            self.model.load_state_dict(state.part("model"))
            learner.target.load_state_dict(state.part("target"))
            learner.spread.value = state.part("spread")["value"]
            state.restore(learner.optimizer)
            self.rounds, learner.updates = (int(state.notes[n]) for n in ("rounds", "updates"))
            for number in range(self.rounds):
                self._remember(self._stored(number))
        self.log.rewind(self.rounds)

    def _round(self, number: int) -> None:
        with self.watch.stage("collect"):
            lived, returns = self._live(number)
        self._remember(lived)
        config, learner = self.config.learner, self.learner
        due = int(self.replay.decisions * config.ratio / config.replayed) - learner.updates
        if number + 1 < self.config.random_rounds:
            due = 0
        logs = self._updates(lambda: learner.update(self.replay), due)
        self.rounds = number + 1
        counts = {"decisions": self.replay.decisions, "updates": learner.updates}
        earned = sum(returns) / len(returns)
        self.log.write(self.rounds, **counts, **{"return": earned}, **logs, **self.watch.numbers())
        if self.rounds % self.config.save_every == 0:
            self._save()

    def _live(self, number: int) -> tuple[Lived, list[float]]:
        """Episodes of a round, on the disk before anything is learned from them."""
        explore = RANDOM if number < self.config.random_rounds else "actor"
        policy = ReducedPolicy(self.model, self.senses, explore)
        episodes = self.rollout.run(policy, self.config.seeds(number))
        lived = _packed(episodes, policy.sensed)
        lived["actions"] = normalised(lived["actions"], self.model.config)
        atomic_write(self._file(number), lambda path: save_file(lived, path))
        return lived, [episode.return_ for episode in episodes]

    def _file(self, number: int) -> Path:
        return self.checkpoint / EPISODES / f"{number:06d}.safetensors"

    def _stored(self, number: int) -> Lived:
        try:
            return load_file(self._file(number))
        except (SafetensorError, OSError) as error:
            raise ForesightError(
                f"{self._file(number)} cannot be read ({error}): the run has lost an episode, "
                "begin it anew in another folder."
            ) from error

    def _remember(self, lived: Lived) -> None:
        lengths = lived["lengths"].tolist()
        names = ("inputs", "actions", "rewards")
        parts = (lived[name].split(lengths) for name in names)
        for inputs, actions, rewards, over in zip(*parts, lived["terminated"], strict=True):
            nothing = torch.zeros(len(inputs), 0)
            self.replay.add(nothing, actions, rewards, bool(over), inputs)

    def _save(self) -> None:
        """Everything to go on from here; the state first, since it is what a resume believes."""
        learner = self.learner
        parts = {
            "model": self.model.state_dict(),
            "target": learner.target.state_dict(),
            "spread": {"value": learner.spread.value},
        }
        notes = {"rounds": str(self.rounds), "updates": str(learner.updates)}
        save_training(self.checkpoint / STATE, self.identity, parts, learner.optimizer, notes)
        self.model.save(self.checkpoint)


def _packed(episodes: Sequence[Episode], sensed: Sequence[Tensor]) -> Lived:
    """Episodes one after the other, and how long each is."""
    lengths = [len(episode) for episode in episodes]
    rows = torch.stack(list(sensed))
    rewards = [
        torch.from_numpy(episode.reward) for episode in episodes if episode.reward is not None
    ]
    return {
        "inputs": torch.cat([rows[:length, i] for i, length in enumerate(lengths)]),
        "actions": torch.cat([torch.from_numpy(episode.action) for episode in episodes]),
        "rewards": torch.cat(rewards),
        "terminated": torch.tensor([episode.terminated for episode in episodes]),
        "lengths": torch.tensor(lengths),
    }
