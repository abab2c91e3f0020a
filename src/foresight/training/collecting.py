"""Rounds of episodes for online training: played, stored, looked at, or read back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import foresight.experts  # noqa: F401 (names its policies)
from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.policy import BatchPolicy, Policy
from foresight.core.progress import track
from foresight.core.stopwatch import Stopwatch
from foresight.core.thread_pool import lane_pool
from foresight.envs.registry import limit_of
from foresight.perception.encoder import Encoder
from foresight.planning.config import MPCConfig
from foresight.policies.registry import NamedPolicy, make_policy
from foresight.rollout.run import seeded
from foresight.rollout.vector import VectorRollout
from foresight.training.curiosity import CURIOUS, curious_scenes, worth_of
from foresight.training.exploring import ExploringPolicy
from foresight.training.online_config import OnlineConfig
from foresight.training.run_data import (
    FeatureFiles,
    RunData,
    compressed,
    look,
    with_expert_column,
)
from foresight.training.trials import exploring, name_of, weights_of
from foresight.worldmodel.model import WorldModel

FIRST_SEED = 1_000_000
"""Training episodes start here: apart from every seed of evaluation."""
EXPERT_NOISE = 0.6
"""Largest strength of noise on an expert."""
Round = tuple[list[Episode], list[Tensor]]
"""Episodes without their pictures, and what was seen in each."""


class Collector:
    """Plays rounds of as many episodes as stand side by side; what was played stays played.

    Args:
        config: who acts in which round.
        encoder: frozen.
        folder: of the run.
        watch: times ``simulate``, ``act``, ``expert`` and ``encode``.

    Attributes:
        decisions: of an episode that does not end early.

    Raises:
        ForesightError: an unknown task or expert, episodes without an end, or a folder with
            episodes of another robot.
    """

    def __init__(
        self, config: OnlineConfig, encoder: Encoder, folder: Path, watch: Stopwatch
    ) -> None:
        self.config, self.encoder, self.folder, self.watch = config, encoder, folder, watch
        asked = config.demonstrations or config.relabel
        self.rollout = VectorRollout(
            config.environment(encoder.image_size),
            config.parallel,
            expert=NamedPolicy(str(config.expert), config.task) if asked else None,
            watch=watch,
        )
        self.spec, self._experts = self.rollout.spec, self.rollout.experts
        self.cameras = list(self.spec.cameras)
        self.decisions = self._decisions()
        self.data = RunData(folder, self.spec, config.codec)
        self._team: dict[str, list[Policy]] = {}

    def close(self) -> None:
        """Finish the dataset and free the environments."""
        try:
            self.data.close()
        finally:
            self.rollout.close()

    @property
    def random_rounds(self) -> int:
        """Rounds of noise."""
        return max(1, self.config.random_episodes // self.config.parallel)

    @property
    def first_rounds(self) -> int:
        """Rounds before the agent itself acts."""
        return self.random_rounds + self.config.demonstrations // self.config.parallel

    def first_episodes(self) -> list[Round]:
        """Rounds of those who act without looking, with whole tokens of what was seen.

        While one is played, the last is looked at; the stage ``encode`` is what the simulator had
        to wait for.
        """

        def see(episodes: Sequence[Episode]) -> list[Tensor]:
            seen = look(self.encoder, episodes, self.cameras, shifts=self.config.shifts)
            return [each.bfloat16() for each in seen]

        looking: list[Future[list[Tensor]]] = []
        played: list[list[Episode]] = []
        lane = lane_pool(torch.get_num_threads())  # whose threads leave the others their cores
        for number in track(range(self.first_rounds), f"{self.config.task}: first episodes"):
            seeds = self._seeds(number)
            if self.data.holds(seeds):
                episodes = self.data.stored(seeds, images=True)
            else:
                name = self._unseeing(number)
                names = [name] * self.config.parallel
                episodes = self._play(number, names, self._made(name))
                self.data.add(episodes)
            with self.watch.stage("encode"):
                for last in looking[-1:]:
                    last.result()
            looking.append(lane.submit(see, episodes))
            played.append(without_images(episodes))
        with self.watch.stage("encode"):
            tokens = [each.result() for each in looking]
        self.data.flush()
        return list(zip(played, tokens, strict=True))

    def collect(
        self,
        number: int,
        model: WorldModel,
        tried: Sequence[int | None] = (),
        spread: float = 1.0,
        search: MPCConfig | None = None,
        curiosity: float = 0.0,
    ) -> Round:
        """A round that the agent plays, or one that was played before, with its features.

        Args:
            number: of the round.
            model: acts.
            tried: the trust that each scene tries (`foresight.training.trials`); all explore if
                empty.
            spread: of the values, the unit of trust.
            search: if not the usual one.
            curiosity: what disagreement is worth (`foresight.training.curiosity`).
        """
        seeds, shifts = self._seeds(number), self.config.shifts
        files = FeatureFiles(self.folder, model, shifts)
        if self.data.holds(seeds):
            features = files.read(number)
            if features is None:
                shown = self.data.stored(seeds, images=True)
                features = compressed(model, self.encoder, shown, shifts)
                files.write(number, features)
            return self.data.stored(seeds, images=False), features
        planner, seed = search or self.config.search, self.config.seed + number
        policy = ExploringPolicy(
            *(model, self.encoder, planner, seed),
            watch=self.watch,
            shifts=shifts,
            correlation=self.config.sac.correlation,
        )
        if tried:
            usual = self.config.planner.prior_weight or 0.0
            policy.attempt(weights_of(tried, spread, usual), exploring(tried))
        chosen = list(tried) or [None] * self.config.parallel
        names = [name_of(each) for each in chosen]
        if curiosity:
            curious = curious_scenes(chosen)
            policy.wonder(worth_of(curious, curiosity, self.encoder.device))
            names = [CURIOUS if c else n for c, n in zip(curious, names, strict=True)]
        episodes = self._play(number, names, policy)
        features = policy.episodes([len(episode) for episode in episodes])
        # First: what the dataset holds has been seen, in the same batches as when it was played.
        files.write(number, features)
        self.data.add(episodes)
        return without_images(episodes), features

    def _seeds(self, number: int) -> range:
        first = FIRST_SEED + 100_000 * self.config.seed + number * self.config.parallel
        return range(first, first + self.config.parallel)

    def _play(
        self, number: int, names: Sequence[str], policies: BatchPolicy | Sequence[Policy]
    ) -> list[Episode]:
        seeds = self._seeds(number)
        self.rollout.experts = self._experts if self._asks(number) else []
        with seeded(seeds[0]):
            played = self.rollout.run(policies, seeds)
        pairs = zip(played, names, strict=True)
        return [labelled(episode, number, name) for episode, name in pairs]

    def _unseeing(self, number: int) -> str:
        """Who acts in a round of the beginning: noise, or the expert with noise."""
        config = self.config
        if number < self.random_rounds:
            return config.exploration
        dropout = f",{config.expert_dropout}" if config.expert_dropout else ""
        return f"noisy:{EXPERT_NOISE}{dropout}:{config.expert}"

    def _made(self, name: str) -> list[Policy]:
        """One policy of a name for each environment."""
        if name not in self._team:
            made = [make_policy(name, self.spec, self.config.task) for _ in self.rollout.envs]
            self._team = {name: made}
        return self._team[name]

    def _asks(self, number: int) -> bool:
        """Whether the expert is asked in a round that it does not lead; spread evenly."""
        if self.random_rounds <= number < self.first_rounds:
            return False
        share = self.config.relabel
        return int((number + 1) * share) > int(number * share)

    def _decisions(self) -> int:
        limit = limit_of(self.rollout.envs[0])
        if limit is None:
            raise ForesightError(
                f"Episodes of {self.config.task} have no time limit: give them a length "
                "(--length), in environment steps."
            )
        return limit


def without_images(episodes: Sequence[Episode]) -> list[Episode]:
    """The same episodes, a hundred times smaller."""
    return [replace(episode, images={}) for episode in episodes]


def labelled(episode: Episode, number: int, policy: str) -> Episode:
    """An episode with where it comes from, and the same columns as all others."""
    info = {name: episode.info[name] for name in ("seed", "environment")}
    return replace(with_expert_column(episode), info={**info, "round": number, "policy": policy})
