"""Learning by acting with soft actor-critic; what imagines is learned from what that has lived."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from foresight.training.online import OnlineTrainer
from foresight.training.online_config import OnlineConfig
from foresight.training.run_data import KEPT
from foresight.training.sac import SoftActorCritic


class SACTrainer(OnlineTrainer):
    """The loop of `OnlineTrainer` with `SoftActorCritic`: no planner acts while it learns.

    When the steps are spent, and after each number of steps that is to be kept, dynamics, reward
    and continuation are learned on the states that the adapter gives by then.
    """

    learner: SoftActorCritic

    def _new_learner(self) -> SoftActorCritic:
        config = self.config
        return SoftActorCritic(self.model, config.learner, config.sac, config.seed)

    def _learn(self, number: int, since: int) -> dict[str, float]:
        """All updates after a round, of which ``since`` is the first episode."""
        config, replay = self.config, self.replay
        done = number + 1 - self.collector.first_rounds
        if done < 0:
            return {}
        decisions = int((replay.lengths[since:] if done else replay.lengths).sum())
        logs = self._update(replay, round(config.updates * decisions))
        before = int(replay.lengths[:since].sum()) * config.repeat
        for steps in config.keep:
            if before < steps <= self.steps and not self._over:
                self._keep(steps)
        if self._over:
            with self.watch.stage("finetune"):
                logs |= self.learner.learn_model(replay, config.finetune_updates)
            self.learner.settle(replay)
        return logs

    def _keep(self, steps: int) -> None:
        """Leave a model that has seen no more than this."""
        folder = self.folder / KEPT / str(steps)
        if (folder / "config.json").exists():
            return
        with self.watch.stage("keep"):
            held = SoftActorCritic(
                copy.deepcopy(self.model), self.config.learner, self.config.sac, self.config.seed
            )
            held.learn_model(self.replay, self.config.finetune_updates)
            held.model.config = replace(held.model.config, steps=self.steps)
            held.model.save(folder)


def trainer_of(
    config: OnlineConfig,
    folder: Path | str,
    on_round: Callable[[OnlineTrainer], None] | None = None,
) -> OnlineTrainer:
    """What learns a task as the configuration says; arguments as of `OnlineTrainer`.

    Raises:
        ForesightError: as `OnlineTrainer`.
    """
    kind = SACTrainer if config.algorithm == "sac" else OnlineTrainer
    return kind(config, folder, on_round)
