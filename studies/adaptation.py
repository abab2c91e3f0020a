"""Recipe ``adaptation``: learned agents in bodies they never learned with, and what learning on
while acting makes good.

Nothing is known of the change, and an episode begins with what was learned on the old body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from foresight.core.errors import ForesightError
from foresight.core.progress import console
from foresight.envs.dmc.tasks import canonical
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import (
    Row,
    Summary,
    bootstrap_interval,
    condition_difference,
    paired_difference,
    returns_by_seed,
)
from foresight.planning.config import MPCConfig
from foresight.policies.adaptive.config import (
    Adaptation,
    FinetuneConfig,
    GainConfig,
    GradientConfig,
    RLSConfig,
)
from foresight.policies.adaptive.policy import AdaptiveFactory
from studies.calibration import SMALL
from studies.learned import Learned, models_of, named
from studies.registry import Request

NONE, SAME = "none", "same-body"
ADAPTED = ("rls", "gradient", "gain", "finetune")
CONDITIONS = (NONE, *ADAPTED)
"""The agent as it was learned, and each way of learning on."""
UNCHANGED = "same"
"""What tasks of the old body are called by."""
SMOKE_TASK = "point_mass-easy"
FACTORS = (0.5, 0.7, 1.3, 1.5)
ERRORS = ("error1", "error5")
"""One and five decisions ahead, in the last quarter of an episode."""


@dataclass(frozen=True)
class Change:
    """One thing about a body that becomes another."""

    part: Literal["mass", "gear", "friction"]
    """Masses, the strength of the actuators, or the friction of contacts."""
    factor: float
    """By which it is multiplied."""
    at: int = 0
    """Steps of the environment after which it happens; 0 for before the first."""

    @property
    def label(self) -> str:
        """Its name in results: ``gear0.5``, or ``gear0.5@100``."""
        return f"{self.part}{self.factor:g}" + (f"@{self.at}" if self.at else "")

    def environment(self, task: str, protocol: str) -> EnvConfig:
        """The task in the changed body."""
        options = {self.part: self.factor, "changes_at": self.at}
        return EnvConfig.of(task, protocol=protocol, **options)


@dataclass(frozen=True)
class AdaptationConfig:
    """Which tasks and bodies, on how many seeds."""

    tasks: tuple[str, ...] = ("walker-walk", "cheetah-run", "finger-spin", "cup-catch")
    """Task ids, each learned before."""
    changes: tuple[Change, ...] = (
        *(Change("gear", factor) for factor in FACTORS),
        *(Change("mass", factor) for factor in FACTORS),
        *(Change("friction", factor) for factor in FACTORS),
        Change("gear", 0.5, 100),
        Change("mass", 1.5, 100),
    )
    """What becomes of the body, one thing at a time."""
    conditions: tuple[str, ...] = CONDITIONS
    """Any of `CONDITIONS`."""
    unchanged: tuple[str, ...] = CONDITIONS
    """Those that act in the old body, too."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …, the same for all."""
    baselines: tuple[str, ...] = ("zero", "random")
    """Conditions beside them, in every body."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """The search that all conditions share."""
    rls: RLSConfig = field(default_factory=RLSConfig)
    """A linear residual by recursive least squares."""
    gradient: GradientConfig = field(default_factory=GradientConfig)
    """A small network as residual."""
    gain: GainConfig = field(default_factory=GainConfig)
    """The strength of each actuator."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    """The dynamics' own weights."""
    protocol: str = "seed200"
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""

    def adaptation(self, condition: str) -> Adaptation | None:
        """How the agent of a condition learns on.

        Raises:
            ForesightError: an unknown condition.
        """
        known: dict[str, Adaptation | None] = {
            NONE: None,
            "rls": self.rls,
            "gradient": self.gradient,
            "gain": self.gain,
            "finetune": self.finetune,
        }
        if condition not in known:
            raise ForesightError(f"Unknown condition {condition!r}: choose {', '.join(known)}.")
        return known[condition]


def presets() -> dict[str, AdaptationConfig]:
    """The named sizes."""
    full = AdaptationConfig()
    few = (Change("gear", 0.5), Change("gear", 1.5), Change("mass", 1.5), Change("friction", 0.5))
    short = replace(
        full, changes=(*few, Change("gear", 0.5, 100)), unchanged=(NONE, "rls", "gain"), seeds=10
    )
    smoke = AdaptationConfig(
        tasks=(SMOKE_TASK,),
        changes=(Change("gear", 0.5, 4),),
        unchanged=(NONE, "rls"),
        seeds=2,
        search=SMALL,
        steps=12,
    )
    return {"full": full, "short": short, "smoke": smoke}


def run(config: AdaptationConfig, learned: Sequence[Learned], workers: int = 1) -> Result:
    """Evaluate every condition in every body; finished episodes are not run again.

    Rows: the episodes, whose task is ``<task>-<change>``, or ``<task>-same`` for the conditions
    ``same-body`` and ``same-body-<how>``. Beside the return they hold the model's errors (see
    `foresight.policies.adaptive.errors.ErrorLog`) and the milliseconds that learning took. Summary:
    see `compared`.

    Args:
        config: sizes.
        learned: the models.
        workers: processes that evaluate.

    Raises:
        ForesightError: an unknown condition, or a model that does not fit.
    """
    for condition in (*config.conditions, *config.unchanged):
        config.adaptation(condition)
    rows: list[Row] = []
    for one in learned:
        rows += _task_rows(config, one, workers)
    settings = {**asdict(config), "models": named(learned)}
    return make_result("adaptation", settings, config.protocol, rows, compared(rows))


def _task_rows(config: AdaptationConfig, one: Learned, workers: int) -> list[Row]:
    console.print(f"[bold]{one.task}[/]: bodies that were never learned with")
    book = EpisodeCache(one.work / "rows.jsonl")
    same = EnvConfig.of(one.task, protocol=config.protocol)
    rows: list[Row] = []
    bodies = [(UNCHANGED, same, config.unchanged)]
    for change in config.changes:
        body = change.environment(one.task, config.protocol)
        bodies.append((change.label, body, config.conditions))
    for label, body, conditions in bodies:
        env = seen_by(one.model.config.encoder, body)
        trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
        found: list[Row] = []
        for condition in conditions:
            maker = AdaptiveFactory(
                str(one.checkpoint),
                config.search,
                adaptation=config.adaptation(condition),
                measured=True,
            )
            name = condition if label != UNCHANGED else same_body(condition)
            found += assess_policy(trial, name, maker, book).rows
        found += paired_baselines(trial, config.baselines, book)
        rows += [{**row, "task": f"{one.task}-{label}"} for row in found]
    return rows


def same_body(condition: str) -> str:
    """What a condition is called in the old body."""
    return SAME if condition == NONE else f"{SAME}-{condition}"


def compared(rows: Sequence[Row]) -> Summary:
    """What follows from the rows, with intervals over seeds.

    - ``<how>-minus-none/<task>-<change>`` and ``same-body-<how>-minus-same-body/<task>-same``:
      returns, paired by seed: what learning on is worth, and what it costs where nothing changed.
    - ``none-minus-same-body/<task>-<change>``: what the change costs the agent as it was.
    - ``<condition>-error1/…`` and ``-error5``: the model's errors as corrected, in the last quarter
      of the episodes; of ``none`` and ``same-body`` those of the model itself.
    - ``<condition>-adapt-ms/…``: learning, milliseconds a decision.
    - ``gain-found/…``: the mean strength of actuators that was found out.
    """
    found: Summary = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        conditions = list(dict.fromkeys(row["condition"] for row in own))
        usual = NONE if NONE in conditions else SAME
        for name in conditions:
            if usual in conditions and name in (*ADAPTED, *map(same_body, ADAPTED)):
                difference = condition_difference(own, task, name, usual)
                found[f"{name}-minus-{usual}/{task}"] = difference.as_dict()
            played = [row for row in own if row["condition"] == name]
            found |= _measured(played, name, task)
        found |= _lost(rows, task)
    return found


def _measured(played: Sequence[Row], name: str, task: str) -> Summary:
    adapted = name.removeprefix(f"{SAME}-") in ADAPTED
    kinds = {f"{name}-{e}": f"{'adapted' if adapted else 'model'}_{e}_late" for e in ERRORS}
    kinds |= {f"{name}-adapt-ms": "adapt_ms"}
    if name == "gain":
        kinds["gain-found"] = "actuator_gain"
    values = {key: [row[kind] for row in played if kind in row] for key, kind in kinds.items()}
    return {
        f"{key}/{task}": bootstrap_interval(each).as_dict() for key, each in values.items() if each
    }


def _lost(rows: Sequence[Row], task: str) -> Summary:
    """What the change costs the agent that does not learn on, paired by seed."""
    base = next((row["task"] for row in rows if _is_old_body_of(row, task)), None)
    ours = returns_by_seed(rows, task, NONE)
    theirs = returns_by_seed(rows, base, SAME) if base is not None else {}
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return {}
    lost = paired_difference([ours[s] for s in shared], [theirs[s] for s in shared])
    return {f"{NONE}-minus-{SAME}/{task}": lost.as_dict()}


def _is_old_body_of(row: Row, task: str) -> bool:
    stem = row["task"].removesuffix(f"-{UNCHANGED}")
    return row["condition"] == SAME and task.startswith(f"{stem}-")


def reproduce(request: Request) -> Result:
    """Measure the tasks that are asked for; others in the result file stay.

    Raises:
        ForesightError: as `run`; there is no model of a task, or the file holds something else.
    """
    config = replace(presets()[request.preset], **request.given("tasks", "seeds"))
    config = replace(config, tasks=tuple(map(canonical, config.tasks)))
    learned = models_of(request, config.tasks)
    before = None if request.smoke else earlier(request.target, "adaptation", config.protocol)
    return beside(run(config, learned, request.processes), before)
