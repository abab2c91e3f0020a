"""An actor from a world model and the episodes that it has seen; resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.metrics import MetricsLog
from foresight.core.progress import track
from foresight.core.training_state import save_training
from foresight.policies.actor import Actor
from foresight.training.doubt import expect_dreamable, measure_doubt
from foresight.training.imagination import Imagination, ImaginationConfig
from foresight.training.learning_run import STATE, TrainingRun
from foresight.training.replay import Replay
from foresight.worldmodel.heads.scalar import ScalarHead
from foresight.worldmodel.model import WorldModel

ROUND = 250
"""Updates between two saved states."""


@dataclass(frozen=True)
class ActorTraining:
    """How long an actor learns in imagination, and how."""

    updates: int = 2500
    """Updates in all; 0 keeps the first actor as it is, for example the prior alone."""
    seed: int = 0
    """Of weights, starts and noise."""
    dream: ImaginationConfig = field(default_factory=ImaginationConfig)
    """The updates."""

    def __post_init__(self) -> None:
        if self.updates < 0:
            raise ForesightError(f"{self.updates} updates were asked for: choose 0 or more.")


class ActorTrainer(TrainingRun):
    """Learns an actor in a model that stays as it is; no environment is asked.

    The folder gets the actor's checkpoint, ``metrics.jsonl`` and the state of an unfinished
    training. A run that was killed at whatever moment goes on and ends as it would have.

    Args:
        model: trained, on the device where the actor is to learn.
        replay: states to begin from, and what disagreement is measured on.
        config: how.
        folder: of the checkpoint.
        about: what else decides the result: fingerprints of the model and of its data.

    Raises:
        ForesightError: a folder of another training, or nothing to dream with.
    """

    def __init__(
        self,
        model: WorldModel,
        replay: Replay,
        config: ActorTraining,
        folder: Path | str,
        **about: str,
    ) -> None:
        expect_dreamable(model, replay)
        self.model, self.replay, self.config = model.eval(), replay, config
        super().__init__(Path(folder), config, next(model.parameters()).device, **about)

    def run(self) -> Actor:
        """Learn what is not learned yet; leaves the checkpoint in the folder.

        Raises:
            ForesightError: as `Imagination.update`.
        """
        if not self._finished:
            self._open()
            with self._alone():
                self._begin()
                left = range(self.rounds, -(-self.config.updates // ROUND))
                for number in track(left, "dream"):
                    self._round(number)
            self._keep()
            self._write_identity(finished=True)
        return Actor.load(self.checkpoint)

    def critic(self) -> ScalarHead:
        """The value of states under the actor, as the saved state has it; `run` comes first."""
        if not hasattr(self, "imagination"):
            self.log = MetricsLog(self.checkpoint / "metrics.jsonl")
            self._begin()
        return self.imagination.critic

    def _begin(self) -> None:
        """Measure the model's doubts and take up what an earlier run left."""
        dream, seed = self.config.dream, self.config.seed
        with self.watch.stage("doubt"):
            doubt = measure_doubt(self.model, self.replay, dream.horizon, dream.quantile, seed)
        self.imagination = imagination = Imagination(self.model, dream, doubt, seed)
        state = self._state()
        if state is None:
            self.log.rewind(-1)
            told = {"price": doubt.price, "limit": doubt.limit}
            self.log.write(0, **told, lowest=doubt.lowest, highest=doubt.highest)
            return
        for name in ("actor", "critic", "target"):
            getattr(imagination, name).load_state_dict(state.part(name))
        imagination.spread.value = state.part("spread")["value"].to(imagination.device)
        state.restore(imagination.optimizer)
        self.rounds, imagination.updates = (int(state.notes[n]) for n in ("rounds", "updates"))
        self.log.rewind(self.rounds)

    def _round(self, number: int) -> None:
        imagination = self.imagination
        count = min(ROUND, self.config.updates - imagination.updates)
        logs = self._updates(lambda: imagination.update(self.replay), count)
        self.rounds = number + 1
        self.log.write(self.rounds, updates=imagination.updates, **logs, **self.watch.numbers())
        self._save()

    def _save(self) -> None:
        imagination = self.imagination
        parts = {
            name: getattr(imagination, name).state_dict() for name in ("actor", "critic", "target")
        }
        parts["spread"] = {"value": imagination.spread.value}
        notes = {"rounds": str(self.rounds), "updates": str(imagination.updates)}
        path = self.checkpoint / STATE
        save_training(path, self.identity, parts, imagination.optimizer, notes)
        self._keep()

    def _keep(self) -> None:
        Actor.of(self.model, self.imagination.actor).save(self.checkpoint)


def replay_of(
    episodes: Sequence[tuple[Float[Tensor, "T Z"], Float[Tensor, "T A"]]],
    terminated: Sequence[bool],
) -> Replay:
    """A replay of latent states that are known already; nobody gave rewards.

    Args:
        episodes: states, and what was done in them in [-1, 1].
        terminated: whether an episode was ended by its task.

    Raises:
        ForesightError: there is no episode.
    """
    if not episodes:
        raise ForesightError("There is no episode to dream from: collect some first.")
    latent, actions = (part.shape[-1] for part in episodes[0])
    replay = Replay(sum(len(z) for z, _ in episodes), 0, actions, 0, latent)
    for (z, done), over in zip(episodes, terminated, strict=True):
        replay.add(torch.zeros(len(z), 0), done, torch.zeros(len(done)), over)
    replay.states[:] = torch.cat([z for z, _ in episodes])
    return replay
