"""Data that improves itself: act, remember, learn, act better (Dyna; Sutton 1991)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from foresight.core.episode import Episode
from foresight.core.progress import track
from foresight.perception.encoder import Encoder, load_encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import unit_of
from foresight.training.collecting import Collector
from foresight.training.curiosity import usual_disagreement
from foresight.training.learner import Learner
from foresight.training.learning_run import LearningRun
from foresight.training.new_model import build_model
from foresight.training.online_config import OnlineConfig
from foresight.training.replay import Replay
from foresight.training.run_data import MODEL, FeatureFiles, adapter_of, remember
from foresight.training.trials import TrustTrials, earned, weight_of
from foresight.worldmodel.model import WorldModel

MEASURE_EVERY = 4
"""Rounds between two measurements on episodes that nothing was learned from yet."""


class OnlineTrainer(LearningRun):
    """The loop, resumable: every episode is kept in a dataset, with its frames.

    The folder of a run holds ``data/`` (the episodes), ``cache/`` (what the encoder sees in them)
    and ``model/`` (the checkpoint, ``metrics.jsonl`` and the state of an unfinished training). A
    run that was killed at whatever moment goes on and ends as it would have.

    Args:
        config: what to learn; `foresight.training.task_settings.task_config` has what makes an
            agent good at a task.
        folder: of the run.
        on_round: called after every round, for example to evaluate.

    Raises:
        ForesightError: unknown task or encoder, a folder of another run, or no disk space.
    """

    def __init__(
        self,
        config: OnlineConfig,
        folder: Path | str,
        on_round: Callable[[OnlineTrainer], None] | None = None,
    ) -> None:
        config.check()
        self.config, self.folder = config, Path(folder)
        self.trials = TrustTrials(config.parallel, config.trials_every, config.final_trials)
        self.on_round = on_round
        self.encoder: Encoder = load_encoder(config.encoder, config.device)
        super().__init__(self.folder / MODEL, config, self.encoder)

    @property
    def steps(self) -> int:
        """Environment steps seen so far."""
        return self.replay.decisions * self.config.repeat

    def run(self) -> WorldModel:
        """Learn until the steps are spent; leaves the checkpoint in the folder."""
        if self._finished:
            return WorldModel.load(self.checkpoint)
        self._open()
        collector = Collector(self.config, self.encoder, self.folder, self.watch)
        with closing(collector):
            self.collector = collector
            self._begin()
            for number in self._numbers():
                self._round(number)
            self._try_trusts()
        self._write_identity(finished=True)
        return self.model.eval()

    def _round(self, number: int) -> None:
        since = len(self.replay)
        own = number - self.collector.first_rounds
        tried = self.trials.while_learning(own) if own >= 0 else []
        with self.watch.stage("collect"):
            curiosity = self._curiosity if own >= 0 else 0.0
            episodes, features = self.collector.collect(
                number, self.model.eval(), tried, self._spread, curiosity=curiosity
            )
            self.model.train()
        with self.watch.stage("learn"), self._alone():
            remember(self.replay, self.model, episodes, features)
            logs = self._learn(number, since)
        self.rounds = number + 1
        self._report(episodes, logs)
        if self.rounds % self.config.save_every == 0 or self._over:
            self._save()
        if self.on_round:
            self.on_round(self)

    @property
    def _expected(self) -> int:
        """Rounds, if no episode ends early."""
        return -(-self._steps_to_learn // (self._round_decisions * self.config.repeat))

    @property
    def _round_decisions(self) -> int:
        return self.collector.decisions * self.config.parallel

    @property
    def _over(self) -> bool:
        return self.steps >= self._steps_to_learn

    @property
    def _steps_to_learn(self) -> int:
        """Those that are not kept for the final trials."""
        return self.config.steps - sum(self.trials.rounds) * (
            self._round_decisions * self.config.repeat
        )

    @property
    def _spread(self) -> float:
        """Of the values, in which trust is counted, in the planner's units."""
        return float(self.learner.scale) * unit_of(self.model)

    @property
    def _curiosity(self) -> float:
        """What a unit of disagreement is worth to the plans of the next round."""
        left = self.config.curiosity * max(0.0, 1 - self.steps / self._steps_to_learn)
        if not left:
            return 0.0
        return left / max(usual_disagreement(self.model, self.replay, self.config.planner), 1e-9)

    def _numbers(self) -> Iterator[int]:
        """Rounds that are still to be lived, as long as there are steps left."""
        label = f"{self.config.task}: act and learn"
        for number in track(range(self.rounds, self._expected), label):
            if self._over:
                return
            yield number
        while not self._over:  # episodes that ended early were shorter than expected
            yield self.rounds

    def _begin(self) -> None:
        """Fit the axes on the first episodes, build everything, and resume."""
        config, spec = self.config, self.collector.spec
        if not (self.checkpoint / "config.json").exists():
            with self.watch.stage("collect"):
                self._start()
        else:
            self.model = WorldModel.load(self.checkpoint)
        self.model.to(self.encoder.device).train()
        self.model.config.expect_encoder(self.encoder.fingerprint)
        self.learner = self._new_learner()
        rounds = max(self._expected, self.collector.first_rounds) + 1
        self.replay = Replay(
            rounds * self._round_decisions,
            self.model.features,
            len(spec.action),
            len(spec.state),
            self.model.latent,
            config.shifts,
        )
        self._resume()

    def _start(self) -> None:
        """Act at random and as the expert does, and build the model that can see this."""
        rounds = self.collector.first_episodes()
        torch.manual_seed(self.config.seed)
        spec, cameras = self.collector.spec, self.collector.cameras
        self.model = build_model(self.config, self.encoder, spec, cameras, rounds)
        files = FeatureFiles(self.folder, self.model, self.config.shifts)
        state = adapter_of(self.model)
        for number, (_, tokens) in enumerate(rounds):
            parts = [each.split(each.shape[-2] // len(cameras), dim=-2) for each in tokens]
            files.write(number, [state.compress(part) for part in parts])
        self.model.save(self.checkpoint)  # last: from here on a killed run resumes

    # --- learning ------------------------------------------------------------------------------

    def _new_learner(self) -> Learner:
        return Learner(self.model, self.config.learner, self.config.seed)

    def _learn(self, number: int, since: int) -> dict[str, float]:
        """All updates after a round, of which ``since`` is the first episode."""
        config, replay = self.config, self.replay
        done = number + 1 - self.collector.first_rounds
        if done < 0:
            return {}
        logs: dict[str, float] = {}
        measured = done > 0 and (done % MEASURE_EVERY == 0 or self._over)
        count, rate = self._phase(done, since)
        if measured or not count:
            with self.watch.stage("representation"):
                self.learner.refresh(replay, since)
        if measured:
            with self.watch.stage("measure"):
                logs |= self.learner.measure(replay, since)
        if count:
            with self.watch.stage("representation"):
                logs |= self.learner.learn_representation(replay, count, rate)
        rounds = 1 if done else self.collector.first_rounds
        decisions = int((replay.lengths[since:] if done else replay.lengths).sum())
        logs |= self._update(replay, round(config.updates * decisions / rounds) * rounds)
        if self._over and config.finetune_updates:
            with self.watch.stage("finetune"):
                logs |= self.learner.finetune_dynamics(replay, config.finetune_updates)
        return logs

    def _phase(self, done: int, since: int) -> tuple[int, float]:
        """Representation updates that are due, and their rate; phases are spread over the steps."""
        config, lengths = self.config, self.replay.lengths
        if done == 0:
            return config.representation_updates, 1.0
        first_rounds = self.collector.first_rounds
        first = lengths[: first_rounds * config.parallel].sum()
        rounds = max(1, (self._expected - first_rounds) // (config.representation_phases + 1))
        every = rounds * self._round_decisions
        before, after = (lengths[:since].sum() - first) // every, (lengths.sum() - first) // every
        if before < after <= config.representation_phases:
            return config.representation_updates // 3, 0.5
        return 0, 0.0

    def _report(self, episodes: Sequence[Episode], logs: dict[str, float]) -> None:
        returns = [episode.return_ for episode in episodes]
        values = {"steps": self.steps, "return": sum(returns) / len(returns), **logs}
        values |= earned(episodes)
        if self.trials.every:
            values["value-spread"] = float(self.learner.scale)
        self.log.write(self.rounds, **values, **self.watch.numbers())

    # --- trust ---------------------------------------------------------------------------------

    def _try_trusts(self) -> None:
        """Let the finished agent find out how far to trust its prior; the model keeps that."""
        trials, steps = self.trials, self.steps
        if not trials.final or self.model.value is None:
            return
        for index in range(sum(trials.rounds)):
            number, tried = self.rounds + index, trials.at_the_end(index)
            with self.watch.stage("collect"):
                episodes, _ = self.collector.collect(
                    number, self.model.eval(), tried, self._spread, MPCConfig()
                )
            trials.add(tried, episodes)
            steps += sum(map(len, episodes)) * self.config.repeat
            returns = [episode.return_ for episode in episodes]
            values = {"steps": steps, "return": sum(returns) / len(returns), **earned(episodes)}
            self.log.write(number + 1, **values, **self.watch.numbers())
        best = weight_of(trials.ranked()[0], self._spread)
        self.model.config = replace(self.model.config, trust=best)
        self.model.save(self.checkpoint)

    def _resume(self) -> None:
        if self._restore():
            for number in range(self.rounds):
                remember(self.replay, self.model, *self.collector.collect(number, self.model))
            self.learner.refresh(self.replay)
            self.model.save(self.checkpoint)
        self.log.rewind(self.rounds)

    def _save(self) -> None:
        self.collector.data.flush()
        super()._save()
