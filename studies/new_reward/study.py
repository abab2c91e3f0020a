"""Recipe ``new-reward``: freeze the model of one task, do something else with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.progress import console
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary
from foresight.experts.oracle import Oracle
from foresight.experts.oracle_settings import oracle_settings
from foresight.planning.config import MPCConfig
from foresight.policies.mpc import MPCFactory
from foresight.training.run_data import DATA, MODEL, run_of
from foresight.worldmodel.heads.training import HeadTraining
from foresight.worldmodel.model import WorldModel
from studies.new_reward.environments import paid_config
from studies.new_reward.learning import HELD_OUT, dreams, learn
from studies.new_reward.measuring import SCRATCH, differences, ours_beside_old
from studies.new_reward.rewards import KEYS, NewReward, new_reward
from studies.new_reward.scratch import PaidConfig, learn_again, scratch_config
from studies.registry import Request
from studies.tiny import tiny_learning

PROTOCOL = "seed200"


@dataclass(frozen=True)
class NewRewardConfig:
    """Which rewards, and how much is learned and measured."""

    rewards: tuple[str, ...] = tuple(KEYS)
    """Names such as walker-walk-to-stand."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …"""
    oracle_seeds: int = 5
    """Of them, those of the oracle, which takes long."""
    head: HeadTraining = field(default_factory=HeadTraining)
    """How the reward is learned."""
    held_out: int = HELD_OUT
    """Every so many episodes one is not learned from."""
    updates: int = 2500
    """Of actor and critic, in imagination."""
    search: MPCConfig = field(default_factory=lambda: MPCConfig(prior_weight=0.5))
    """The search; the actor proposes."""
    baselines: tuple[str, ...] = ("zero", "random", "constant")
    """Conditions beside them."""
    scratch: bool = True
    """Learn every reward from nothing, too, with as many steps as the frozen model had; this takes
    far longer than everything else."""
    again: dict[str, Any] = field(default_factory=dict)
    """What is otherwise there than `scratch_config` has it."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


def presets() -> dict[str, NewRewardConfig]:
    """The named sizes: full, short without starting again, smoke."""
    smoke = NewRewardConfig(
        rewards=("walker-walk-to-stand",),
        seeds=2,
        oracle_seeds=1,
        head=HeadTraining(updates=4, batch=8),
        held_out=2,
        updates=4,
        search=MPCConfig(samples=16, elites=4, iterations=1, prior_samples=4, prior_weight=0.5),
        baselines=("zero", "random"),
        again=tiny_learning(final_trials=0),
        steps=8,
    )
    full = NewRewardConfig()
    return {"full": full, "short": replace(full, scratch=False), "smoke": smoke}


@dataclass(frozen=True)
class OracleFactory:
    """Makes the search in the true simulator for another reward."""

    reward: str

    def __call__(self, spec: Spec) -> Oracle:
        """It steers by the reward alone."""
        reward = new_reward(self.reward)
        settings = replace(oracle_settings(reward.source), shaping=None)
        return Oracle(reward.source, spec, settings, reward=reward.make)


def run(config: NewRewardConfig, models: Path, folder: Path, workers: int = 1) -> Result:
    """Learn and measure every reward whose source task was learned; nothing is done twice.

    Rows: episodes of ``planned``, ``actor``, ``old-policy``, ``scratch``, ``oracle`` and the
    baselines, under the task ``<from>-to-<task>``; ``reward-r2``, on held-out episodes, and
    ``reward-mean`` of the relabelled data. The summary adds what ours earn beside ``old-policy``,
    ``best-trivial`` and ``scratch``, as ``<ours>-minus-<rival>``.

    Raises:
        ForesightError: a source task was not learned, or its episodes cannot be simulated again.
    """
    rows: list[Row] = []
    summary: Summary = {}
    weights: dict[str, str] = {}
    for reward in map(new_reward, config.rewards):
        checkpoint = models / reward.source / MODEL
        if not (checkpoint / "config.json").exists():
            raise ForesightError(
                f"There is no model of {reward.source} in {models}: `foresight learn "
                f"{reward.source}` makes one, or name the folder with --models."
            )
        found = _measured(config, reward, checkpoint, folder / reward.key, workers)
        rows += found
        summary |= differences(found, reward.key)
        weights[reward.source] = str(checkpoint)
    return make_result("new-reward", {**asdict(config), "models": weights}, PROTOCOL, rows, summary)


def _measured(
    config: NewRewardConfig, reward: NewReward, checkpoint: Path, out: Path, workers: int
) -> list[Row]:
    console.print(f"[bold]{reward.key}[/]: relabel, learn a reward and dream")
    report = learn(reward, checkpoint, out, config.head, dreams(config.updates), config.held_out)
    env = paid_config(reward, protocol=PROTOCOL)
    env = seen_by(WorldModel.load(checkpoint).config.encoder, env)
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    book = EpisodeCache(out / "rows.jsonl")
    rows = ours_beside_old(trial, checkpoint, out, config.search, book)
    if config.scratch:
        fresh = learn_again(_again(config, reward, checkpoint), out / SCRATCH)
        rows += assess_policy(trial, SCRATCH, MPCFactory(str(fresh)), book).rows
    few = replace(trial, seeds=trial.seeds[: config.oracle_seeds])
    rows += assess_policy(few, "oracle", OracleFactory(reward.key), book).rows
    rows += paired_baselines(trial, config.baselines, book)
    told_rows = [{"measure": name, "value": value} for name, value in report.items()]
    return [{**row, "task": reward.key} for row in rows + told_rows]


def _again(config: NewRewardConfig, reward: NewReward, checkpoint: Path) -> PaidConfig:
    """How a reward is learned from nothing, by as many steps as the frozen model saw."""
    model = WorldModel.load(checkpoint)
    decisions = int(Dataset.open(run_of(checkpoint) / DATA).offsets[-1])
    return scratch_config(reward, model, decisions * model.config.repeat, **config.again)


def reproduce(request: Request) -> Result:
    """Of the models that `foresight learn` left; rewards in the file that are not asked for stay.

    Raises:
        ForesightError: as `run`.
    """
    config = replace(presets()[request.preset], **request.given("seeds", tasks="rewards"))
    before = earlier(request.target, "new-reward", PROTOCOL)
    return beside(run(config, request.models, request.folder, request.processes), before)
