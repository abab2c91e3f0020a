"""Recipe ``ablation``: one learned model, used with and without each of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from foresight.core.progress import console
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary, condition_difference
from foresight.planning.config import MPCConfig
from studies.calibration import SMALL
from studies.ensemble_errors.held_out import HeldOutConfig
from studies.learned import Learned, named
from studies.variants import VariantFactory, variant


@dataclass(frozen=True)
class AblationConfig:
    """Which variants, on how many seeds."""

    variants: tuple[str, ...] = ("FULL", "SINGLE", "NO_UNCERT", "NO_REWARD", "NO_TRUST", "PRIOR")
    """Names from `studies.variants.VARIANTS`; the first is compared with the others."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …, the same for all."""
    baselines: tuple[str, ...] = ("zero", "random", "constant")
    """Conditions beside them."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """The search that all variants share."""
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    """Episodes that β is calibrated on."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


def presets() -> dict[str, AblationConfig]:
    """The named sizes."""
    few = HeldOutConfig(episodes=4, parallel=4, length=40)
    smoke = AblationConfig(
        seeds=2, baselines=("zero", "random"), search=SMALL, held_out=few, steps=20
    )
    return {"full": AblationConfig(), "smoke": smoke}


def run(config: AblationConfig, learned: Sequence[Learned], workers: int = 1) -> Result:
    """Evaluate every variant of every learned model; finished episodes are not run again.

    Rows: the episodes (condition = variant or baseline); ``beta``; and ``goal-reward``, the mean
    reward of the decisions that led to the goal states (with 0 there, NO_REWARD has nothing to aim
    at). The summary adds ``<first>-minus-<other>``, paired by seed.

    Raises:
        ForesightError: an unknown variant, or a model that does not fit.
    """
    chosen = {name: variant(name) for name in config.variants}
    rows: list[Row] = []
    summary: Summary = {}
    for one in learned:
        console.print(f"[bold]{one.task}[/]: use its parts, one by one")
        search, protocol = config.search, config.held_out.protocol
        beta = 0.0
        if any(each.doubt for each in chosen.values()):
            beta = one.beta(one.held_out(config.held_out, search), search).mean
            rows.append({"measure": "beta", "task": one.task, "value": beta})
        reached = float(one.grounds.rewards.mean())
        rows.append({"measure": "goal-reward", "task": one.task, "value": reached})
        env = seen_by(one.model.config.encoder, EnvConfig(one.task, protocol=protocol))
        trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
        book = EpisodeCache(one.work / "rows.jsonl")
        base = VariantFactory(
            str(one.checkpoint),
            str(one.grounds_path),
            search=search,
            encoder=one.model.config.encoder,
        )
        found: list[Row] = []
        for name, each in chosen.items():
            factory = replace(base, chosen=each, beta=beta if each.doubt else 0.0)
            found += assess_policy(trial, name, factory, book).rows
        rows += found + paired_baselines(trial, config.baselines, book)
        summary |= differences(found, one.task, config.variants)
    models = named(learned)
    settings = {**asdict(config), "models": models, "definitions": chosen}
    return make_result("ablation", settings, config.held_out.protocol, rows, summary)


def differences(rows: Sequence[Row], task: str, names: Sequence[str]) -> Summary:
    """The first condition's return minus each other's, paired by seed."""
    first, *others = names
    return {
        f"{first}-minus-{name}/{task}": condition_difference(rows, task, first, name).as_dict()
        for name in others
    }
